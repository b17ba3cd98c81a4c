package io.ublkbridge.s3;

import io.ublkbridge.target.Durations;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.net.URI;
import java.net.URISyntaxException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/// The command's options that this target understands. What is not given here comes from where
/// AWS's own tools find it: environment, profiles, the machine.
///
/// @param endpoint of a store that is not AWS's
/// @param pathStyle whether the bucket stands in the path instead of the host name
/// @param unsigned whether to ask without credentials
/// @param ioTimeout how long one GET may take
/// @param lossTimeout how long requests wait while the store gives no answers; zero for ever
record S3Options(
    @Nullable URI endpoint,
    @Nullable String region,
    @Nullable String profile,
    boolean pathStyle,
    boolean unsigned,
    Duration ioTimeout,
    Duration lossTimeout) {
  private static final Duration IO_TIMEOUT_DEFAULT = Duration.ofSeconds(60);
  private static final Duration LOSS_TIMEOUT_DEFAULT = Duration.ofMinutes(10);

  static S3Options of(OpenContext context) throws TargetOpenException {
    String endpoint = context.option("endpoint-url").orElse("");
    String profile = context.option("profile").orElse("");
    boolean unsigned = flag(context, "no-sign-request");
    if (unsigned && !profile.isEmpty()) {
      throw invalid(
          "--no-sign-request and --profile contradict each other", "leave out one of them");
    }
    Duration ioTimeout = duration(context, "io-timeout", IO_TIMEOUT_DEFAULT);
    if (!ioTimeout.isPositive()) {
      throw invalid("--io-timeout cannot be zero", "write 60s, for example");
    }
    return new S3Options(
        endpoint.isEmpty() ? null : endpoint(endpoint),
        context.option("region").filter(region -> !region.isEmpty()).orElse(null),
        profile.isEmpty() ? null : profile,
        flag(context, "path-style"),
        unsigned,
        ioTimeout,
        duration(context, "loss-timeout", LOSS_TIMEOUT_DEFAULT));
  }

  private static URI endpoint(String text) throws TargetOpenException {
    String remedy = "write https://minio.example.org:9000, for example";
    try {
      URI uri = new URI(text);
      String scheme = uri.getScheme() == null ? "" : uri.getScheme();
      if (uri.getUserInfo() != null) {
        throw invalid(
            "--endpoint-url holds a user or a password", "credentials belong into a profile");
      }
      if (!scheme.matches("https?") || uri.getHost() == null) {
        throw invalid("--endpoint-url: '" + text + "' is not an http or https URL", remedy);
      }
      if (uri.getQuery() != null || uri.getFragment() != null) {
        throw invalid("--endpoint-url has a query or a fragment", remedy);
      }
      return uri;
    } catch (URISyntaxException e) {
      throw invalid("--endpoint-url is not a URL: " + e.getReason(), remedy);
    }
  }

  private static boolean flag(OpenContext context, String option) throws TargetOpenException {
    String text = context.option(option).orElse("false");
    return switch (text) {
      case "true" -> true;
      case "false" -> false;
      default -> throw invalid("--" + option + " takes no value", null);
    };
  }

  private static Duration duration(OpenContext context, String option, Duration unset)
      throws TargetOpenException {
    String text = context.option(option).orElse("");
    if (text.isEmpty()) {
      return unset;
    }
    try {
      return text.equals("0") ? Duration.ZERO : Durations.parse(text);
    } catch (IllegalArgumentException e) {
      throw invalid("--" + option + ": " + e.getMessage(), null);
    }
  }

  private static TargetOpenException invalid(String message, @Nullable String remedy) {
    return new TargetOpenException(Reason.INVALID, message, remedy);
  }
}
