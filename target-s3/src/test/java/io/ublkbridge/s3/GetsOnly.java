package io.ublkbridge.s3;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;

/// A store that tests make up: it answers GETs, and knows of no objects.
abstract class GetsOnly implements ObjectStore {
  @Override
  public CompletionStage<ObjectVersion> look(String key, @Nullable String versionId) {
    return CompletableFuture.failedFuture(new StoreException(StoreException.Kind.GONE, "no look"));
  }

  @Override
  public void close() {}
}
