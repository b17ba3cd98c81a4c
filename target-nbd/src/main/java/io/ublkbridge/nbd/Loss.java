package io.ublkbridge.nbd;

import java.io.IOException;

/// Why a connection is no more.
///
/// @param why for the log; names the server
/// @param ambiguous whether the server may be alive and still execute what it was sent. It is not
///   if it closed or reset the connection itself, or said that it is shutting down.
record Loss(IOException why, boolean ambiguous) {}
