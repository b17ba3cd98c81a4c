package io.ublkbridge.s3;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import io.ublkbridge.s3.StoreException.Kind;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/// A bucket behind the AWS SDK. Sends each request once and judges what comes back. Confined to the
/// event loop of its client, as [ObjectStore] says.
final class S3ObjectStore implements ObjectStore {
  /// How long somebody who opens a disk waits for a byte.
  private static final long LOOK_SECONDS = 10;

  private static final Pattern FIRST_BYTE = Pattern.compile("bytes 0-0/(\\d{1,19})");

  private final EventLoop loop;
  private final S3AsyncClient client;
  private final KeptCredentials credentials;
  private final String bucket;
  private final StoreCounters counters;

  /// @param client lives on `loop` alone; closed with this
  S3ObjectStore(
      EventLoop loop,
      S3AsyncClient client,
      KeptCredentials credentials,
      String bucket,
      StoreCounters counters) {
    this.loop = loop;
    this.client = client;
    this.credentials = credentials;
    this.bucket = bucket;
    this.counters = counters;
  }

  @Override
  public Call get(ObjectVersion object, long offsetBytes, Destination into, End end) {
    counters.got();
    GetObjectRequest request =
        GetObjectRequest.builder()
            .bucket(bucket)
            .key(object.key())
            .versionId(object.versionId())
            .ifMatch(object.etag())
            .range("bytes=" + offsetBytes + "-" + (offsetBytes + into.lengthBytes() - 1))
            .build();
    Get get = new Get(object.key(), new RangeReceiver(object, offsetBytes, into, counters), end);
    get.start(request);
    return get;
  }

  @Override
  public CompletionStage<ObjectVersion> look(String key, @Nullable String versionId) {
    GetObjectRequest request =
        GetObjectRequest.builder()
            .bucket(bucket)
            .key(key)
            .versionId(versionId)
            .range("bytes=0-0")
            .build();
    CompletableFuture<ObjectVersion> seen = new CompletableFuture<>();
    loop.execute(() -> {
      counters.got();
      CompletableFuture<GetObjectResponse> answer = client.getObject(request, new LookReceiver());
      ScheduledFuture<?> deadline =
          loop.schedule(
              () -> {
                seen.completeExceptionally(
                    new StoreException(Kind.TIMED_OUT, "the store went silent"));
                answer.cancel(true);
              },
              LOOK_SECONDS,
              TimeUnit.SECONDS);
      var _ =
          answer.whenComplete((response, failure) -> {
            deadline.cancel(false);
            looked(seen, key, versionId, response, failure);
          });
    });
    return seen;
  }

  private void looked(
      CompletableFuture<ObjectVersion> seen,
      String key,
      @Nullable String versionId,
      GetObjectResponse response,
      @Nullable Throwable failure) {
    try {
      if (failure != null) {
        throw lookFailure(StoreErrors.of(failure, bucket, key));
      }
      seen.complete(version(key, versionId, response));
    } catch (StoreException e) {
      seen.completeExceptionally(e);
    }
  }

  /// The first byte of nothing is outside of it.
  private StoreException lookFailure(StoreException failure) {
    refresh(failure);
    return failure.kind() == Kind.OUTSIDE
        ? new StoreException(
            Kind.UNREADABLE, "the object is empty", "upload an image to it first", failure)
        : failure;
  }

  private static ObjectVersion version(
      String key, @Nullable String versionId, GetObjectResponse response) throws StoreException {
    String range = String.valueOf(response.contentRange());
    Matcher matcher = FIRST_BYTE.matcher(range);
    if (!matcher.matches()) {
      throw new StoreException(
          Kind.UNREADABLE,
          "the store cannot serve a part of an object: asked for the first byte, it answers with"
              + " status "
              + response.sdkHttpResponse().statusCode(),
          "a disk needs a store with ranged GETs",
          null);
    }
    String etag = response.eTag();
    if (etag == null || etag.startsWith("W/")) {
      throw new StoreException(
          Kind.UNREADABLE,
          "the store tells no ETag, so nobody could know whether the object was replaced",
          null,
          null);
    }
    return new ObjectVersion(key, etag, versionId, Long.parseLong(matcher.group(1)));
  }

  private void refresh(StoreException failure) {
    if (failure.kind() == Kind.CREDENTIALS || failure.kind() == Kind.DENIED) {
      credentials.forget();
    }
  }

  @Override
  public void close() {
    client.close();
  }

  /// One GET under way.
  private final class Get implements Call {
    private final String key;
    private final RangeReceiver receiver;
    private final End end;
    private @Nullable CompletableFuture<Void> answer;
    private boolean over;

    Get(String key, RangeReceiver receiver, End end) {
      this.key = key;
      this.receiver = receiver;
      this.end = end;
    }

    void start(GetObjectRequest request) {
      CompletableFuture<Void> future;
      try {
        future = client.getObject(request, receiver);
      } catch (RuntimeException | OutOfMemoryError e) {
        // The client was closed, say. No request may stay without an end for it.
        future = CompletableFuture.failedFuture(e);
      }
      answer = future;
      var _ =
          future.whenComplete((_, failure) -> {
            if (loop.inEventLoop()) {
              ended(failure);
            } else {
              // Credentials came from another thread, and with them a failure.
              loop.execute(() -> ended(failure));
            }
          });
    }

    private void ended(@Nullable Throwable failure) {
      if (over) {
        return;
      }
      close();
      if (failure == null) {
        end.ended(null);
        return;
      }
      StoreException why = StoreErrors.of(failure, bucket, key);
      refresh(why);
      end.ended(why);
    }

    @Override
    public void cancel() {
      if (!over) {
        close();
        if (answer != null) {
          answer.cancel(true);
        }
      }
    }

    @Override
    public long receivedBytes() {
      return receiver.received();
    }

    private void close() {
      over = true;
      receiver.close();
    }
  }
}
