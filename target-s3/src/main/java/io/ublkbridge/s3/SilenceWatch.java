package io.ublkbridge.s3;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// Notices that an answer does not come, or does not go on. Confined to the event loop.
///
/// One that has begun is dead after two seconds in which others got more than their share. The HTTP
/// client would find out much later: with Netty 4.2.18 a connection that is reset behind bytes
/// which were not read yet is not read from again. Where nobody gets much, the store or the way to
/// it is slow, and the answer may be silent for as long as before its first byte. Each attempt
/// after one that was too silent may be so for twice as long.
final class SilenceWatch {
  /// What a store that serves all alike sends to one before it turns to the next.
  private static final long SHARE_BYTES = 64 << 10;

  private static final int PAUSE_SECONDS = 2;
  private static final int SILENCE_SECONDS = 10;
  private static final int DOUBLINGS_MAX = 8;

  private final LongSupplier received;
  private final LongSupplier receivedByAll;
  private final IntSupplier underWay;
  private final Runnable silent;
  private final int pauseLooks;
  private final long silenceLooks;
  private @Nullable ScheduledFuture<?> looking;
  private long seenBytes;
  private long seenByAll;
  private int quietLooks;

  /// @param silences how many attempts at the same were given up for their silence
  /// @param secondsMax the longest silence
  /// @param received how much has come of the answer
  /// @param receivedByAll how much has come of all answers, ever
  /// @param underWay how many answers are awaited
  /// @param silent what to do once it has been silent for too long
  SilenceWatch(
      int silences,
      long secondsMax,
      LongSupplier received,
      LongSupplier receivedByAll,
      IntSupplier underWay,
      Runnable silent) {
    this.received = received;
    this.receivedByAll = receivedByAll;
    this.underWay = underWay;
    this.silent = silent;
    int doublings = Math.min(DOUBLINGS_MAX, silences);
    this.pauseLooks = PAUSE_SECONDS << doublings;
    this.silenceLooks = Math.clamp((long) SILENCE_SECONDS << doublings, 1, Math.max(1, secondsMax));
  }

  void start(EventLoop loop) {
    seenByAll = receivedByAll.getAsLong();
    // With a delay: after a pause of the whole process no two looks may follow one another.
    looking = loop.scheduleWithFixedDelay(this::look, 1, 1, TimeUnit.SECONDS);
  }

  private void look() {
    long bytes = received.getAsLong();
    if (bytes != seenBytes) {
      seenBytes = bytes;
      seenByAll = receivedByAll.getAsLong();
      quietLooks = 0;
      return;
    }
    quietLooks++;
    if (quietLooks >= silenceLooks || (bytes > 0 && quietLooks >= pauseLooks && overtaken())) {
      stop();
      silent.run();
    }
  }

  /// Whether others got so much meanwhile that this one's turn was passed over twice.
  private boolean overtaken() {
    long others = receivedByAll.getAsLong() - seenByAll;
    return others >= 2 * SHARE_BYTES * (underWay.getAsInt() - 1L);
  }

  void stop() {
    if (looking != null) {
      looking.cancel(false);
    }
  }
}
