package io.ublkbridge.s3;

import io.ublkbridge.s3.StoreException.Kind;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.async.SdkPublisher;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/// Takes the answer to one GET of a range: checks that it is just that range of just that object,
/// and passes it to where it belongs, piece by piece as it arrives. Confined to the event loop.
final class RangeReceiver
    implements AsyncResponseTransformer<GetObjectResponse, Void>, Subscriber<ByteBuffer> {
  static final int PARTIAL_CONTENT = 206;
  private static final int OK = 200;

  private final ObjectVersion object;
  private final long offsetBytes;
  private final Destination into;
  private final StoreCounters counters;
  private CompletableFuture<Void> whole = new CompletableFuture<>();
  private @Nullable Subscription subscription;
  private long received;

  /// Whether nobody wants the bytes any more, for one reason or another.
  private boolean closed;

  RangeReceiver(ObjectVersion object, long offsetBytes, Destination into, StoreCounters counters) {
    this.object = object;
    this.offsetBytes = offsetBytes;
    this.into = into;
    this.counters = counters;
  }

  /// How many bytes have arrived.
  long received() {
    return received;
  }

  /// From now on nothing goes there.
  void close() {
    closed = true;
    if (subscription != null) {
      subscription.cancel();
    }
  }

  @Override
  public CompletableFuture<Void> prepare() {
    received = 0;
    whole = new CompletableFuture<>();
    return whole;
  }

  @Override
  public void onResponse(GetObjectResponse response) {
    StoreException wrong = wrongIn(response);
    if (wrong != null) {
      refuse(wrong);
    }
  }

  private @Nullable StoreException wrongIn(GetObjectResponse response) {
    long length = into.lengthBytes();
    int status = response.sdkHttpResponse().statusCode();
    String etag = response.eTag();
    if (etag != null && !etag.equals(object.etag())) {
      return new StoreException(
          Kind.REPLACED, "the object was replaced: its ETag is now " + StoreErrors.clean(etag));
    }
    if (status == PARTIAL_CONTENT) {
      String expected =
          "bytes " + offsetBytes + "-" + (offsetBytes + length - 1) + "/" + object.sizeBytes();
      if (!expected.equals(response.contentRange())) {
        return broken(
            "asked for " + expected + ", the store answers with " + response.contentRange());
      }
    } else if (status != OK || offsetBytes != 0 || length != object.sizeBytes()) {
      return broken("asked for a range, the store answers with status " + status);
    }
    Long announced = response.contentLength();
    if (announced != null && announced != length) {
      return broken("asked for " + length + " bytes, the store announces " + announced);
    }
    return null;
  }

  private static StoreException broken(String message) {
    return new StoreException(Kind.BROKEN, StoreErrors.clean(message));
  }

  @Override
  public void onStream(SdkPublisher<ByteBuffer> publisher) {
    publisher.subscribe(this);
  }

  @Override
  public void exceptionOccurred(Throwable error) {
    closed = true;
    whole.completeExceptionally(error);
  }

  @Override
  public void onSubscribe(Subscription stream) {
    subscription = stream;
    if (closed) {
      // Subscribed to all the same: only so is the connection given back.
      stream.cancel();
    } else {
      stream.request(Long.MAX_VALUE);
    }
  }

  @Override
  public void onNext(ByteBuffer bytes) {
    int length = bytes.remaining();
    counters.fetched(length);
    if (closed) {
      return;
    }
    if (length > into.lengthBytes() - received) {
      refuse(broken("the store sends more than the " + into.lengthBytes() + " bytes asked for"));
      return;
    }
    into.put(received, MemorySegment.ofBuffer(bytes));
    received += length;
  }

  @Override
  public void onError(Throwable error) {
    closed = true;
    whole.completeExceptionally(error);
  }

  @Override
  public void onComplete() {
    if (closed) {
      return;
    }
    closed = true;
    if (received == into.lengthBytes()) {
      whole.complete(null);
    } else {
      whole.completeExceptionally(
          broken("asked for " + into.lengthBytes() + " bytes, the store sent " + received));
    }
  }

  /// The future first: a stream that is cancelled tells nobody.
  private void refuse(StoreException why) {
    closed = true;
    whole.completeExceptionally(why);
    if (subscription != null) {
      subscription.cancel();
    }
  }
}
