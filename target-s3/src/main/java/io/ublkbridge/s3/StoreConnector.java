package io.ublkbridge.s3;

import io.netty.channel.IoEventLoop;
import io.netty.channel.uring.IoUringSocketChannel;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslProvider;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.net.URI;
import java.time.Duration;
import java.time.InstantSource;
import java.util.concurrent.Executor;
import javax.net.ssl.TrustManager;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.core.client.config.SdkAdvancedAsyncClientOption;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.http.async.SdkAsyncHttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.http.nio.netty.SdkEventLoopGroup;
import software.amazon.awssdk.profiles.ProfileFile;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.regions.providers.AwsProfileRegionProvider;
import software.amazon.awssdk.regions.providers.AwsRegionProvider;
import software.amazon.awssdk.regions.providers.AwsRegionProviderChain;
import software.amazon.awssdk.regions.providers.InstanceProfileRegionProvider;
import software.amazon.awssdk.regions.providers.SystemSettingsRegionProvider;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3AsyncClientBuilder;
import software.amazon.awssdk.utils.SdkAutoCloseable;

/// Knows where a store is and who asks, and makes clients of it: one for each event loop, since a
/// client that has several answers on any of them.
///
/// From control threads; may block while it looks for a region.
final class StoreConnector implements AutoCloseable {
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(3);
  private static final Duration TLS_TIMEOUT = Duration.ofSeconds(5);

  /// Longer than a pause between two reads usually is: a handshake would make the next one slow.
  private static final Duration IDLE_MAX = Duration.ofSeconds(50);

  /// Spreads connections over the addresses that a store's name has by then.
  private static final Duration CONNECTION_LIFE = Duration.ofMinutes(10);

  private static final Duration READ_TIMEOUT_MARGIN = Duration.ofSeconds(5);

  private final S3Options options;
  private final Region region;
  private final AwsCredentialsProvider source;
  private final KeptCredentials credentials;
  private TrustManager @Nullable [] trust;

  /// Where requests go if it is not AWS's own choice: as the option says, the environment
  /// (`AWS_ENDPOINT_URL_S3`), or the profile. Known once there is a client.
  private volatile @Nullable URI configuredEndpoint;

  private StoreConnector(S3Options options, Region region, AwsCredentialsProvider source) {
    this.options = options;
    this.region = region;
    this.source = source;
    this.credentials = new KeptCredentials(source, InstantSource.system(), daemons());
  }

  static StoreConnector of(S3Options options) throws TargetOpenException {
    return new StoreConnector(options, region(options), source(options));
  }

  private static Executor daemons() {
    return action -> Thread.ofPlatform().daemon().name("s3-credentials").start(action);
  }

  private static AwsCredentialsProvider source(S3Options options) {
    if (options.unsigned()) {
      return AnonymousCredentialsProvider.create();
    }
    return options.profile() == null
        ? DefaultCredentialsProvider.builder().build()
        : ProfileCredentialsProvider.create(options.profile());
  }

  private static Region region(S3Options options) throws TargetOpenException {
    if (options.region() != null) {
      return Region.of(options.region());
    }
    // Other stores have no regions, or do not care; and only AWS's machines know theirs.
    boolean elsewhere = options.endpoint() != null || environmentNamesEndpoint();
    AwsRegionProvider profile =
        new AwsProfileRegionProvider(ProfileFile::defaultProfileFile, options.profile());
    AwsRegionProvider chain =
        elsewhere
            ? new AwsRegionProviderChain(new SystemSettingsRegionProvider(), profile)
            : new AwsRegionProviderChain(
                new SystemSettingsRegionProvider(), profile, new InstanceProfileRegionProvider());
    try {
      return chain.getRegion();
    } catch (SdkException e) {
      if (elsewhere) {
        return Region.US_EAST_1;
      }
      throw new TargetOpenException(
          Reason.INVALID,
          "no region is set: not by --region, AWS_REGION, nor the profile",
          "--region REGION, the one that the bucket is in",
          e);
    }
  }

  private static boolean environmentNamesEndpoint() {
    return System.getenv("AWS_ENDPOINT_URL_S3") != null
        || System.getenv("AWS_ENDPOINT_URL") != null;
  }

  Region region() {
    return region;
  }

  KeptCredentials credentials() {
    return credentials;
  }

  /// Makes a client that lives on one loop alone.
  ///
  /// @param connections how many requests are under way at once, at most
  S3AsyncClient client(IoEventLoop loop, int connections) throws TargetOpenException {
    if (options.endpoint() == null || !isPlain(options.endpoint())) {
      prepareTrust();
    }
    S3AsyncClientBuilder builder =
        S3AsyncClient.builder()
            .httpClientBuilder(http(loop, connections))
            .region(region)
            .credentialsProvider(credentials)
            .forcePathStyle(options.pathStyle())
            .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
            .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
            .serviceConfiguration(s3 -> s3.expectContinueEnabled(false))
            // What it completes, it completes on the loop where the answer arrived.
            .asyncConfiguration(async ->
                async.advancedOption(
                    SdkAdvancedAsyncClientOption.FUTURE_COMPLETION_EXECUTOR,
                    (Executor) Runnable::run))
            .overrideConfiguration(override -> {
              override.retryStrategy(DefaultRetryStrategy.doNotRetry());
              override.scheduledExecutorService(loop);
              if (options.profile() != null) {
                override.defaultProfileName(options.profile());
              }
            });
    if (options.endpoint() != null) {
      builder.endpointOverride(options.endpoint());
    }
    S3AsyncClient client = builder.build();
    configuredEndpoint = client.serviceClientConfiguration().endpointOverride().orElse(null);
    return client;
  }

  /// Reading some hundred certificates takes a while, so it happens here and not on the loop; and
  /// before there is a client, which asks for them at once.
  private synchronized void prepareTrust() throws TargetOpenException {
    if (trust == null) {
      trust = StoreTrust.managers(System.getenv(StoreTrust.BUNDLE_VARIABLE));
    }
  }

  private synchronized TrustManager[] trusted() {
    return trust == null ? new TrustManager[0] : trust;
  }

  /// Whether requests travel unencrypted.
  boolean plain() {
    URI endpoint = configuredEndpoint;
    return endpoint != null && isPlain(endpoint);
  }

  private static boolean isPlain(URI endpoint) {
    return "http".equals(endpoint.getScheme());
  }

  private SdkAsyncHttpClient.Builder<?> http(IoEventLoop loop, int connections) {
    return NettyNioAsyncHttpClient.builder()
        .eventLoopGroup(
            SdkEventLoopGroup.create(new LoopAsNioGroup(loop), StoreConnector::connection))
        .maxConcurrency(connections)
        .connectionTimeout(CONNECT_TIMEOUT)
        .tlsNegotiationTimeout(TLS_TIMEOUT)
        // Sooner than that RetryingObjectStore decides.
        .readTimeout(options.ioTimeout().plus(READ_TIMEOUT_MARGIN))
        .connectionMaxIdleTime(IDLE_MAX)
        .connectionTimeToLive(CONNECTION_LIFE)
        .tcpKeepAlive(true)
        .sslProvider(OpenSsl.isAvailable() ? SslProvider.OPENSSL : SslProvider.JDK)
        .tlsTrustManagersProvider(this::trusted);
  }

  private static IoUringSocketChannel connection() {
    IoUringSocketChannel connection = new IoUringSocketChannel();
    connection.pipeline().addLast(new WholeReads());
    return connection;
  }

  /// Where the store is, for people and for what names its contents.
  String place() {
    URI endpoint = configuredEndpoint;
    return endpoint == null ? "s3." + region.id() + ".amazonaws.com" : endpoint.toString();
  }

  @Override
  public void close() {
    if (source instanceof SdkAutoCloseable closeable) {
      closeable.close();
    }
  }
}
