package io.ublkbridge.s3;

import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;

/// The objects of one bucket, as one event loop sees them: requests are made on that loop and end
/// on it.
///
/// Confined to the event loop, except [#look] and [#close].
interface ObjectStore extends AutoCloseable {
  /// Reads a range of an object straight to where the caller wants it.
  ///
  /// @param object only this version's bytes are delivered, whatever the key holds by now
  /// @param into as long as the range; given bytes until the end is told, or the call was cancelled
  /// @param end told once, unless the call is cancelled; perhaps before this returns
  Call get(ObjectVersion object, long offsetBytes, Destination into, End end);

  /// Finds out what a key holds, at the price of one GET. From every thread; ends on any.
  ///
  /// @return fails with a [StoreException]
  CompletionStage<ObjectVersion> look(String key, @Nullable String versionId);

  /// From control threads, once nothing is under way any more.
  @Override
  void close();

  /// A request under way.
  interface Call {
    /// Gives the request up: its end is not told any more, and its memory not touched. Does nothing
    /// once it has ended.
    void cancel();

    /// How much of the answer has come.
    default long receivedBytes() {
      return 0;
    }
  }

  /// Told how a request has ended.
  @FunctionalInterface
  interface End {
    /// Called once.
    ///
    /// @param failure null when all is well
    void ended(@Nullable StoreException failure);

    /// Whether nobody waits for it yet, so that what somebody waits for may overtake it. Asked
    /// whenever it matters.
    default boolean background() {
      return false;
    }
  }
}
