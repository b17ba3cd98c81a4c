package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.Durations;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// The options that are the target's business; they are passed on by name.
final class TargetOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--connections",
      paramLabel = "N",
      description = "nbd: connections to a server that allows several. Default: 4.")
  private @Nullable Integer connections;

  @Option(
      names = "--io-timeout",
      paramLabel = "TIME",
      description = "nbd, s3: how long a request may go unanswered. Default: 60s.")
  private @Nullable String ioTimeout;

  @Option(
      names = "--loss-timeout",
      paramLabel = "TIME",
      description =
          "nbd, s3: how long requests wait while the server is gone; 0 waits for ever. Default: 10m.")
  private @Nullable String lossTimeout;

  @Option(
      names = "--write-journal",
      paramLabel = "SIZE",
      description =
          "nbd: room in /run for writes that the server has acknowledged but not flushed, to write"
              + " them again if it crashes; off fails the next flush instead. Default: 64M.")
  private @Nullable String writeJournal;

  @Option(
      names = "--tls-certificates",
      paramLabel = "DIR",
      description =
          "nbds: directory of ca-cert.pem, and perhaps client-cert.pem, client-key.pem, ca-crl.pem."
              + " Default: this host's CAs.")
  private @Nullable Path tlsCertificates;

  @Option(
      names = "--tls-psk-file",
      paramLabel = "FILE",
      description = "nbds: file of pre-shared keys (USER:KEY), mode 600; the user is in the URI.")
  private @Nullable Path tlsPskFile;

  @Option(
      names = "--tls-hostname",
      paramLabel = "NAME",
      description = "nbds: whom the server's certificate must be for. Default: the URI's host.")
  private @Nullable String tlsHostname;

  @Option(
      names = "--tls-records",
      paramLabel = "WHO",
      description =
          "nbds: who encrypts once the two sides have agreed: kernel, where it can (TCP, TLS 1.3,"
              + " module tls), or process. Default: kernel.")
  private @Nullable String tlsRecords;

  @Option(
      names = "--endpoint-url",
      paramLabel = "URL",
      description =
          "s3: a store that is not AWS's. Default: AWS_ENDPOINT_URL_S3, the profile, AWS.")
  private @Nullable String endpointUrl;

  @Option(
      names = "--region",
      paramLabel = "REGION",
      description = "s3: where the bucket is. Default: AWS_REGION, the profile, this machine's.")
  private @Nullable String region;

  @Option(
      names = "--profile",
      paramLabel = "NAME",
      description = "s3: whose settings and credentials of ~/.aws to use. Default: AWS_PROFILE.")
  private @Nullable String profile;

  @Option(
      names = "--path-style",
      description = "s3: put the bucket into the path, not the host name, as many stores need it.")
  private boolean pathStyle;

  @Option(
      names = "--no-sign-request",
      description = "s3: ask without credentials, for public buckets.")
  private boolean noSignRequest;

  /// The options that were given, by long name without dashes.
  Map<String, String> byName() {
    Map<String, String> options = new LinkedHashMap<>();
    if (connections != null) {
      if (connections < 1) {
        throw new ParameterException(
            spec.commandLine(), "--connections: at least 1, not " + connections);
      }
      options.put("connections", connections.toString());
    }
    putDuration(options, "io-timeout", ioTimeout);
    putDuration(options, "loss-timeout", lossTimeout);
    if (writeJournal != null) {
      if (!writeJournal.equals("off")) {
        check("write-journal", writeJournal, ByteSize::parse);
      }
      options.put("write-journal", writeJournal);
    }
    // The server process has another current directory.
    if (tlsCertificates != null) {
      options.put("tls-certificates", tlsCertificates.toAbsolutePath().toString());
    }
    if (tlsPskFile != null) {
      options.put("tls-psk-file", tlsPskFile.toAbsolutePath().toString());
    }
    if (tlsHostname != null) {
      options.put("tls-hostname", tlsHostname);
    }
    put(options, "tls-records", tlsRecords);
    put(options, "endpoint-url", endpointUrl);
    put(options, "region", region);
    put(options, "profile", profile);
    if (pathStyle) {
      options.put("path-style", "true");
    }
    if (noSignRequest) {
      options.put("no-sign-request", "true");
    }
    return options;
  }

  private static void put(Map<String, String> options, String name, @Nullable String value) {
    if (value != null) {
      options.put(name, value);
    }
  }

  private void putDuration(Map<String, String> options, String name, @Nullable String value) {
    if (value != null) {
      if (!value.equals("0")) {
        check(name, value, Durations::parse);
      }
      options.put(name, value);
    }
  }

  private void check(String name, String value, Function<String, ?> parser) {
    try {
      var _ = parser.apply(value);
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), "--" + name + ": " + e.getMessage(), e);
    }
  }
}
