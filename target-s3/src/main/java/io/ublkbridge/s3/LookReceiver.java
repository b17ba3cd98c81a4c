package io.ublkbridge.s3;

import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.async.SdkPublisher;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/// Takes what an answer says of its object, and none of its bytes. Confined to the event loop.
final class LookReceiver
    implements AsyncResponseTransformer<GetObjectResponse, GetObjectResponse>,
        Subscriber<ByteBuffer> {
  private CompletableFuture<GetObjectResponse> seen = new CompletableFuture<>();
  private GetObjectResponse response = GetObjectResponse.builder().build();

  @Override
  public CompletableFuture<GetObjectResponse> prepare() {
    seen = new CompletableFuture<>();
    return seen;
  }

  @Override
  public void onResponse(GetObjectResponse answer) {
    response = answer;
  }

  @Override
  public void onStream(SdkPublisher<ByteBuffer> publisher) {
    publisher.subscribe(this);
  }

  @Override
  public void exceptionOccurred(Throwable error) {
    seen.completeExceptionally(error);
  }

  @Override
  public void onSubscribe(Subscription stream) {
    if (response.sdkHttpResponse().statusCode() == RangeReceiver.PARTIAL_CONTENT) {
      stream.request(Long.MAX_VALUE);
    } else {
      // All of the object is coming, and nobody wants it.
      seen.complete(response);
      stream.cancel();
    }
  }

  @Override
  public void onNext(ByteBuffer bytes) {}

  @Override
  public void onError(Throwable error) {
    seen.completeExceptionally(error);
  }

  @Override
  public void onComplete() {
    seen.complete(response);
  }
}
