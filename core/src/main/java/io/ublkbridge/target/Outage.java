package io.ublkbridge.target;

import java.time.Duration;

/// That a target cannot reach what is behind it at the moment, and what that holds up.
///
/// @param why for people
/// @param lasting how long it has been so
/// @param requestsWaiting requests that end only when it is over, or when patience is
/// @param unflushedWrites acknowledged writes that are not known to be durable
public record Outage(String why, Duration lasting, long requestsWaiting, long unflushedWrites) {}
