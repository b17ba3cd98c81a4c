package io.ublkbridge.s3;

import io.netty.channel.ConnectTimeoutException;
import io.netty.handler.ssl.NotSslRecordException;
import io.netty.handler.timeout.TimeoutException;
import io.ublkbridge.s3.StoreException.Kind;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateException;
import java.util.Locale;
import java.util.Set;
import javax.net.ssl.SSLHandshakeException;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.awscore.exception.AwsErrorDetails;
import software.amazon.awssdk.awscore.exception.AwsServiceException;

/// What the SDK and the store say when a GET fails, understood.
final class StoreErrors {
  private static final int MESSAGE_LENGTH_MAX = 300;

  /// What the SDK makes of an answer that is no HTTP.
  private static final int STATUS_MALFORMED = 999;

  /// Codes that new credentials, or a clock set right, would cure.
  private static final Set<String> EXPIRED =
      Set.of("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired");

  private static final Set<String> ARCHIVED = Set.of("InvalidObjectState");

  private StoreErrors() {}

  /// @param bucket whose objects were asked for
  /// @param key the object
  static StoreException of(Throwable failure, String bucket, String key) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof StoreException known) {
        return known;
      }
      if (cause instanceof AwsServiceException answer) {
        return ofAnswer(answer, bucket, key);
      }
    }
    return ofConnection(failure);
  }

  private static StoreException ofAnswer(AwsServiceException answer, String bucket, String key) {
    int status = answer.statusCode();
    String code = code(answer);
    String words = words(answer, status, code);
    if (EXPIRED.contains(code)) {
      return new StoreException(
          Kind.CREDENTIALS, "the credentials have expired" + words, null, answer);
    }
    return switch (status) {
      case 301, 302, 307, 308 -> elsewhere(answer, bucket, words);
      case 400 -> badRequest(answer, bucket, code, words);
      case 401, 403 -> denied(answer, code, words);
      case 404, 405 -> gone(answer, bucket, key, code, words);
      case 408 ->
          new StoreException(Kind.TIMED_OUT, "the store waited too long" + words, null, answer);
      case 412 ->
          new StoreException(Kind.REPLACED, "the object was replaced" + words, null, answer);
      case 416 ->
          new StoreException(Kind.OUTSIDE, "the object has no such range" + words, null, answer);
      case 429, 503 ->
          new StoreException(Kind.THROTTLED, "the store asks to slow down" + words, null, answer);
      case STATUS_MALFORMED ->
          new StoreException(Kind.BROKEN, "the answer is not HTTP", null, answer);
      default -> {
        if (status >= 500) {
          yield new StoreException(Kind.SERVER, "the store failed" + words, null, answer);
        }
        yield status < 400
            ? new StoreException(Kind.BROKEN, "an answer with status " + status, null, answer)
            : new StoreException(
                Kind.REJECTED, "the store rejects the request" + words, null, answer);
      }
    };
  }

  private static StoreException badRequest(
      AwsServiceException answer, String bucket, String code, String words) {
    if (header(answer, "x-amz-bucket-region") != null
        || code.equals("AuthorizationHeaderMalformed")) {
      return elsewhere(answer, bucket, words);
    }
    if (code.equals("RequestTimeout")) {
      return new StoreException(Kind.TIMED_OUT, "the store waited too long" + words, null, answer);
    }
    if (code.equals("InvalidToken")) {
      return new StoreException(
          Kind.DENIED, "the store does not know the session token" + words, CREDENTIALS, answer);
    }
    return new StoreException(Kind.REJECTED, "the store rejects the request" + words, null, answer);
  }

  private static StoreException elsewhere(AwsServiceException answer, String bucket, String words) {
    String region = header(answer, "x-amz-bucket-region");
    return new StoreException(
        Kind.REJECTED,
        "the bucket '"
            + bucket
            + "' is in another region"
            + (region == null ? "" : ", " + clean(region))
            + words,
        region == null
            ? "is --region, or --endpoint-url, the bucket's?"
            : "--region " + clean(region),
        answer);
  }

  private static final String CREDENTIALS =
      "which credentials are used? name a profile with --profile; a public bucket needs"
          + " --no-sign-request";

  private static StoreException denied(AwsServiceException answer, String code, String words) {
    if (ARCHIVED.contains(code)) {
      return new StoreException(
          Kind.UNREADABLE, "the object is archived" + words, "restore it first", answer);
    }
    String what =
        switch (code) {
          case "InvalidAccessKeyId" -> "the store does not know the access key";
          case "SignatureDoesNotMatch" -> "the secret key is not that of the access key";
          case "RequestTimeTooSkewed" -> "this host's clock is wrong";
          default -> "access is denied";
        };
    String remedy = code.equals("RequestTimeTooSkewed") ? "set the clock" : CREDENTIALS;
    return new StoreException(Kind.DENIED, what + words, remedy, answer);
  }

  private static StoreException gone(
      AwsServiceException answer, String bucket, String key, String code, String words) {
    String what =
        switch (code) {
          case "NoSuchBucket" -> "there is no bucket '" + bucket + "'";
          case "NoSuchVersion", "MethodNotAllowed" ->
              "there is no such version of the object '" + key + "'";
          case "NoSuchKey" -> "there is no object '" + key + "' in the bucket '" + bucket + "'";
          default -> "there is no object '" + key + "' here" + words;
        };
    return new StoreException(
        Kind.GONE,
        what,
        "is --endpoint-url the store's, with --path-style if it needs that?",
        answer);
  }

  private static StoreException ofConnection(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof UnknownHostException) {
        return new StoreException(
            Kind.UNREACHABLE,
            "the store's name has no address: " + clean(String.valueOf(cause.getMessage())),
            "stores that want the bucket's name in the path need --path-style",
            failure);
      }
      if (cause instanceof ConnectException
          || cause instanceof NoRouteToHostException
          || cause instanceof ConnectTimeoutException) {
        return new StoreException(
            Kind.UNREACHABLE,
            "no connection: " + text(cause),
            "is the store running and reachable?",
            failure);
      }
      if (cause instanceof SSLHandshakeException
          || cause instanceof CertificateException
          || cause instanceof NotSslRecordException) {
        return tls(failure, cause);
      }
      if (cause instanceof TimeoutException) {
        return new StoreException(Kind.TIMED_OUT, "the store went silent", null, failure);
      }
    }
    return new StoreException(
        Kind.BROKEN, "the answer broke off: " + text(innermost(failure)), null, failure);
  }

  private static StoreException tls(Throwable failure, Throwable cause) {
    if (cause instanceof NotSslRecordException) {
      return new StoreException(
          Kind.TLS, "the store speaks no TLS", "is it http:// instead of https://?", failure);
    }
    if (innermost(cause) instanceof CertPathBuilderException) {
      return new StoreException(
          Kind.TLS,
          "the store's certificate is signed by a CA that is not trusted here",
          "AWS_CA_BUNDLE names a file with the store's CA",
          failure);
    }
    return new StoreException(
        Kind.TLS,
        "TLS failed: " + text(innermost(cause)),
        "is the store's name that of its certificate, and this host's clock right?",
        failure);
  }

  private static Throwable innermost(Throwable failure) {
    Throwable innermost = failure;
    while (innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    return innermost;
  }

  private static String text(Throwable failure) {
    String message = failure.getMessage();
    return clean(message == null ? failure.getClass().getSimpleName() : message);
  }

  private static String code(AwsServiceException answer) {
    AwsErrorDetails details = answer.awsErrorDetails();
    String code = details == null ? null : details.errorCode();
    return code == null ? "" : code;
  }

  /// The store's own words, in brackets.
  private static String words(AwsServiceException answer, int status, String code) {
    AwsErrorDetails details = answer.awsErrorDetails();
    String message = details == null ? null : details.errorMessage();
    StringBuilder words = new StringBuilder(" (").append(status);
    if (!code.isEmpty()) {
      words.append(' ').append(clean(code));
    }
    if (message != null && !message.isBlank()) {
      words.append(": ").append(clean(message));
    }
    return words.append(')').toString();
  }

  private static @Nullable String header(AwsServiceException answer, String name) {
    AwsErrorDetails details = answer.awsErrorDetails();
    return details == null || details.sdkHttpResponse() == null
        ? null
        : details.sdkHttpResponse().firstMatchingHeader(name.toLowerCase(Locale.ROOT)).orElse(null);
  }

  /// Foreign text, fit for one line of a log.
  static String clean(String text) {
    String cleaned = text.replaceAll("[\\p{Cntrl}\\s]+", " ").strip();
    return cleaned.length() <= MESSAGE_LENGTH_MAX
        ? cleaned
        : cleaned.substring(0, MESSAGE_LENGTH_MAX) + "…";
  }
}
