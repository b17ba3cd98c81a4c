package io.ublkbridge.target;

import java.util.Set;

/// Opens the targets of some URI schemes; found through [java.util.ServiceLoader].
public interface TargetProvider {
  /// The schemes, in lower case and without the colon.
  Set<String> schemes();

  /// Says whether the URI is well written, without touching anything: no connection, no file.
  ///
  /// @throws TargetOpenException with [TargetOpenException.Reason#INVALID] if it is not
  default void check(TargetUri uri) throws TargetOpenException {}

  /// Opens a target. May block, within the context's timeout; never called on an event loop.
  ///
  /// @throws TargetOpenException if it cannot be opened; nothing is left behind then
  BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException;
}
