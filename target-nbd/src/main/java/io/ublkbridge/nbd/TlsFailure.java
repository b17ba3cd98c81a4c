package io.ublkbridge.nbd;

import io.netty.handler.ssl.NotSslRecordException;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLException;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.TlsException;
import org.bouncycastle.tls.TlsFatalAlertReceived;
import org.jspecify.annotations.Nullable;

/// What the three implementations of TLS say when they fail, understood.
final class TlsFailure {
  /// BoringSSL's words (`SSLV3_ALERT_BAD_CERTIFICATE`), and the JDK's (`Received fatal alert:
  /// bad_certificate`).
  private static final Pattern ALERT =
      Pattern.compile("_ALERT_([A-Z_]+)|Received fatal alert: ([a-z_]+)");

  private TlsFailure() {}

  /// Whether it is about TLS, and not about the connection underneath.
  static boolean is(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof SSLException || cause instanceof TlsException) {
        return true;
      }
    }
    return false;
  }

  /// The standard's name of the alert with which the server has ended the session (`unknown_ca`),
  /// or null if it has sent none.
  static @Nullable String alert(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof TlsFatalAlertReceived received) {
        return AlertDescription.getName(received.getAlertDescription());
      }
      Matcher matcher = ALERT.matcher(String.valueOf(cause.getMessage()));
      if (cause instanceof SSLException && matcher.find()) {
        String name = matcher.group(1) != null ? matcher.group(1) : matcher.group(2);
        return name.toLowerCase(Locale.ROOT);
      }
    }
    return null;
  }

  /// What is left when nothing more helpful can be said of TLS itself.
  static TargetOpenException other(Throwable failure) {
    String alert = alert(failure);
    if (alert != null) {
      return new TargetOpenException(
          Reason.REFUSED,
          "the server ended TLS with the alert " + alert,
          "does the server's log say why?",
          failure);
    }
    if (isNoTls(failure)) {
      return new TargetOpenException(
          Reason.REFUSED,
          "the server agreed to TLS, but what it sends is something else",
          "is somebody in the middle? does the server's log say why?",
          failure);
    }
    return new TargetOpenException(
        Reason.REFUSED,
        "TLS failed: " + ServerText.clean(String.valueOf(innermost(failure).getMessage())),
        "does the server's log say why?",
        failure);
  }

  static TargetOpenException closed(boolean handshaking, @Nullable Throwable cause) {
    return new TargetOpenException(
        Reason.REFUSED,
        "the server closed the connection "
            + (handshaking ? "during the TLS handshake" : "right after the TLS handshake"),
        "does the server's log say why?",
        cause);
  }

  private static boolean isNoTls(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof NotSslRecordException
          || String.valueOf(cause.getMessage()).contains("WRONG_VERSION_NUMBER")) {
        return true;
      }
    }
    return false;
  }

  private static Throwable innermost(Throwable failure) {
    Throwable innermost = failure;
    while (innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    return innermost;
  }
}
