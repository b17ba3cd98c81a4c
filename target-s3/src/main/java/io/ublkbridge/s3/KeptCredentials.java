package io.ublkbridge.s3;

import io.ublkbridge.s3.StoreException.Kind;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.identity.spi.AwsCredentialsIdentity;
import software.amazon.awssdk.identity.spi.IdentityProvider;
import software.amazon.awssdk.identity.spi.ResolveIdentityRequest;

/// Credentials that never make an event loop wait: finding them may read files, run programs and
/// ask servers, so it is done on a thread of its own, ahead of time where they expire.
///
/// Any thread may call.
final class KeptCredentials implements IdentityProvider<AwsCredentialsIdentity> {
  private static final Logger LOG = LoggerFactory.getLogger(KeptCredentials.class);

  /// How long before their end credentials are renewed.
  private static final Duration AHEAD = Duration.ofMinutes(5);

  /// How long credentials without an end are kept before somebody looks whether there are others.
  private static final Duration LOOK_AGAIN = Duration.ofMinutes(5);

  private static final Duration RETRY = Duration.ofSeconds(10);

  /// @param renewFrom when to look for new ones
  private record Kept(AwsCredentialsIdentity identity, Instant renewFrom) {
    boolean expired(Instant now) {
      return identity.expirationTime().map(end -> !now.isBefore(end)).orElse(false);
    }
  }

  private final IdentityProvider<? extends AwsCredentialsIdentity> source;
  private final InstantSource clock;
  private final Executor executor;
  private volatile @Nullable Kept kept;

  /// Guarded by this.
  private @Nullable CompletableFuture<AwsCredentialsIdentity> renewal;

  /// @param source may block
  /// @param executor runs what may block
  KeptCredentials(
      IdentityProvider<? extends AwsCredentialsIdentity> source,
      InstantSource clock,
      Executor executor) {
    this.source = source;
    this.clock = clock;
    this.executor = executor;
  }

  @Override
  public Class<AwsCredentialsIdentity> identityType() {
    return AwsCredentialsIdentity.class;
  }

  @Override
  public CompletableFuture<AwsCredentialsIdentity> resolveIdentity(ResolveIdentityRequest request) {
    Kept present = kept;
    Instant now = clock.instant();
    if (present != null && now.isBefore(present.renewFrom())) {
      return CompletableFuture.completedFuture(present.identity());
    }
    CompletableFuture<AwsCredentialsIdentity> renewing = renew();
    return present == null || present.expired(now)
        ? renewing.copy()
        : CompletableFuture.completedFuture(present.identity());
  }

  /// The store does not accept what it was given: the next request waits for other ones.
  void forget() {
    kept = null;
  }

  private synchronized CompletableFuture<AwsCredentialsIdentity> renew() {
    if (renewal == null) {
      CompletableFuture<AwsCredentialsIdentity> started = new CompletableFuture<>();
      renewal = started;
      executor.execute(() -> find(started));
    }
    return renewal;
  }

  private void find(CompletableFuture<AwsCredentialsIdentity> found) {
    try {
      AwsCredentialsIdentity identity = source.resolveIdentity().join();
      Instant now = clock.instant();
      Instant renewFrom =
          identity.expirationTime().map(end -> end.minus(AHEAD)).orElse(now.plus(LOOK_AGAIN));
      Instant soonest = now.plus(RETRY);
      end(new Kept(identity, renewFrom.isBefore(soonest) ? soonest : renewFrom));
      found.complete(identity);
    } catch (RuntimeException e) {
      Kept present = kept;
      if (present != null) {
        LOG.warn("cannot renew the AWS credentials, the old ones stay in use: {}", words(e));
        present = new Kept(present.identity(), clock.instant().plus(RETRY));
      }
      end(present);
      found.completeExceptionally(
          new StoreException(
              Kind.CREDENTIALS,
              "there are no credentials: " + words(e),
              "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use --profile, or --no-sign-request"
                  + " for a public bucket (sudo drops AWS_* variables: sudo -E)",
              e));
    }
  }

  private synchronized void end(@Nullable Kept outcome) {
    kept = outcome;
    renewal = null;
  }

  private static String words(Throwable failure) {
    Throwable cause = failure;
    while (!(cause instanceof SdkException) && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return StoreErrors.clean(String.valueOf(cause.getMessage()));
  }
}
