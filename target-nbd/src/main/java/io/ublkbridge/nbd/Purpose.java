package io.ublkbridge.nbd;

/// What a connection is made for.
enum Purpose {
  /// To do I/O.
  USE,

  /// To see what is there: the list of exports too, and where the export holds data.
  INSPECTION
}
