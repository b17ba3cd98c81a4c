package io.ublkbridge.target;

import java.util.Set;

/// Opens the targets of some URI schemes; found through [java.util.ServiceLoader].
public interface TargetProvider {
  /// The schemes, in lower case and without the colon.
  Set<String> schemes();

  /// Checks that the URI is well written, without touching what it names, and completes what
  /// depends on where it was said, such as a relative path.
  ///
  /// @return a URI that means the same everywhere on this machine
  /// @throws TargetOpenException with [TargetOpenException.Reason#INVALID] if it is not well
  ///   written
  TargetUri resolve(TargetUri uri) throws TargetOpenException;

  /// How much memory, in bytes, a block cache in front of a target of this kind gets unless told
  /// otherwise; 0 where it does not pay. Known before there is a target: the server's process is
  /// started with room for it.
  default long cacheBytesByDefault() {
    return 0;
  }

  /// Opens a target. May block, within the context's timeout; never called on an event loop.
  ///
  /// @throws TargetOpenException if it cannot be opened; nothing is left behind then
  BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException;

  /// Opens a target only to look at it, which may show more than [#open] does. May block as that.
  ///
  /// @throws TargetOpenException if there is nothing to see; nothing is left behind then
  default Inspection inspect(TargetUri uri, OpenContext context) throws TargetOpenException {
    return Inspection.of(open(uri, context));
  }
}
