package io.ublkbridge.s3;

import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.s3.StoreException.Kind;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Opens a target: finds out what a URI's object is now, within the time given.
///
/// What may pass in a moment is tried again until then; what will not is told at once. Runs on a
/// control thread.
final class S3Opener {
  private static final Logger LOG = LoggerFactory.getLogger(S3Opener.class);

  private static final long BACKOFF_MILLIS = 200;
  private static final long BACKOFF_MILLIS_MAX = 5_000;

  /// A store that hangs up so often in a row does not mean to talk: without TLS, or it is none.
  private static final int HANG_UPS_MAX = 3;

  private final S3Uri uri;
  private final OpenContext context;
  private final Deadline deadline;

  S3Opener(S3Uri uri, OpenContext context) {
    this.uri = uri;
    this.context = context;
    this.deadline = Deadline.after(context.timeout());
  }

  BlockTarget open() throws TargetOpenException {
    S3Options options = S3Options.of(context);
    StoreConnector connector = StoreConnector.of(options);
    StoreLane lane = null;
    try {
      lane = StoreLane.open(connector, uri.bucket(), options, context.eventLoop());
      ObjectVersion object = look(lane.store());
      S3Image image = new S3Image(uri, object, uri.compressed() ? seekTable(lane, object) : null);
      warn(image, connector);
      return new S3ImageTarget(image, options, connector, connector.place(), lane);
    } catch (TargetOpenException | RuntimeException e) {
      if (lane != null) {
        lane.store().close();
      }
      connector.close();
      throw e;
    }
  }

  private ObjectVersion look(ObjectStore store) throws TargetOpenException {
    long backoffMillis = BACKOFF_MILLIS;
    int hangUps = 0;
    while (true) {
      StoreException failure;
      try {
        return await(store.look(uri.key(), uri.versionId()).toCompletableFuture());
      } catch (StoreException e) {
        failure = e;
      }
      hangUps = failure.kind() == Kind.BROKEN ? hangUps + 1 : 0;
      if (hangUps == HANG_UPS_MAX) {
        throw new TargetOpenException(
            Reason.UNREACHABLE,
            "no S3 server answers there: " + failure.message(),
            "is it an S3 endpoint, and does it speak TLS? https:// and http:// are not the same",
            failure);
      }
      if (!mayPass(failure.kind()) || deadline.remaining().toMillis() <= backoffMillis) {
        throw refusal(failure);
      }
      LOG.info("trying again: {}", failure.message());
      pause(backoffMillis);
      backoffMillis = Math.min(BACKOFF_MILLIS_MAX, 2 * backoffMillis);
    }
  }

  /// Somebody who waits for this wants to know at once of a store that is not there, or of wrong
  /// credentials.
  private static boolean mayPass(Kind kind) {
    return switch (kind) {
      case THROTTLED, SERVER, BROKEN, TIMED_OUT -> true;
      case REPLACED, GONE, OUTSIDE, DENIED, REJECTED, UNREADABLE, CORRUPT, NO_MEMORY -> false;
      case CREDENTIALS, UNREACHABLE, TLS -> false;
    };
  }

  private static TargetOpenException refusal(StoreException failure) {
    return new TargetOpenException(
        failure.kind().reason(), failure.message(), failure.remedy(), failure);
  }

  private SeekTable seekTable(StoreLane lane, ObjectVersion object) throws TargetOpenException {
    try {
      return SeekTableReader.read(
          (offsetBytes, into) -> fetch(lane, object, offsetBytes, into), object.sizeBytes());
    } catch (StoreException e) {
      throw refusal(e);
    }
  }

  /// Reads a range, and waits for it as long as opening may take.
  private void fetch(StoreLane lane, ObjectVersion object, long offsetBytes, MemorySegment into)
      throws StoreException, TargetOpenException {
    CompletableFuture<Boolean> whole = new CompletableFuture<>();
    CompletableFuture<ObjectStore.Call> call = new CompletableFuture<>();
    lane.loop()
        .execute(() ->
            call.complete(
                lane.store()
                    .get(
                        object,
                        offsetBytes,
                        Destination.of(into),
                        why -> {
                          if (why == null) {
                            whole.complete(true);
                          } else {
                            whole.completeExceptionally(why);
                          }
                        })));
    try {
      var _ = await(whole);
    } finally {
      // The memory is the caller's again.
      lane.loop()
          .submit(() -> {
            var _ = call.thenAccept(ObjectStore.Call::cancel);
          })
          .syncUninterruptibly();
    }
  }

  private <T> T await(CompletableFuture<T> future) throws StoreException, TargetOpenException {
    try {
      return future.get(Math.max(1, deadline.remaining().toMillis()), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      throw StoreErrors.of(e, uri.bucket(), uri.key());
    } catch (TimeoutException e) {
      throw new TargetOpenException(
          Reason.TIMED_OUT, "the store did not answer in time", "is the store reachable?", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TargetOpenException(Reason.FAILED, "interrupted", null, e);
    }
  }

  private void pause(long millis) throws TargetOpenException {
    try {
      context.eventLoop().schedule(() -> {}, millis, TimeUnit.MILLISECONDS).await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TargetOpenException(Reason.FAILED, "interrupted", null, e);
    }
  }

  private static void warn(S3Image image, StoreConnector connector) {
    long size = image.sizeBytes();
    long padding = S3Image.diskBytes(size) - size;
    if (padding > 0) {
      LOG.warn(
          "{}: its {} bytes are no whole number of blocks: the disk ends with {} zeroes more",
          image.uri(),
          size,
          padding);
    }
    if (connector.plain()) {
      LOG.warn(
          "{}: the store is asked over plain http: others can read and change it", image.uri());
    }
  }
}
