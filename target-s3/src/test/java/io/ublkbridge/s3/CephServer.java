package io.ublkbridge.s3;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;

/// Ceph's RADOS gateway, a process on loopback with its objects in plain files: an S3 server that
/// has nothing in common with [S3Server]. `it/s3/ceph` fetches it.
///
/// One of its threads is busy all the time, so it lives no longer than what needs it.
public final class CephServer implements ObjectServer {
  private static final String OBJECTS = "objects";
  private static final String CONFIGURATION = "config.db";

  private static final Duration PATIENCE = Duration.ofMinutes(2);

  private final Path programs;
  private final Path directory;
  private final Path objects;
  private final int port;
  private final Process process;

  private CephServer(Path programs, Path directory, Path objects, int port) throws IOException {
    this.programs = programs;
    this.directory = directory;
    this.objects = objects;
    this.port = port;
    configure();
    createUser();
    this.process = start("radosgw", "-f");
    // It would go on without whoever started it.
    Runtime.getRuntime().addShutdownHook(new Thread(process::destroy));
    awaitPort();
  }

  private void createUser() throws IOException {
    Process user =
        start(
            "radosgw-admin",
            "user",
            "create",
            "--uid=test",
            "--display-name=test",
            "--access-key=" + S3Server.ACCESS_KEY,
            "--secret-key=" + S3Server.SECRET_KEY);
    await(user);
  }

  /// Starts one, and waits until it answers.
  ///
  /// @param programs where `it/s3/ceph` put it
  /// @param directory empty; for its state and its objects
  public static CephServer start(Path programs, Path directory) throws IOException {
    return new CephServer(programs, directory, directory.resolve(OBJECTS), freePort());
  }

  /// Starts one on the objects that another one left, to read them.
  ///
  /// @param directory empty; for its state
  /// @param other the other one's directory; it stays as it is
  public static CephServer startOn(Path other, Path programs, Path directory) throws IOException {
    // Buckets belong to a zone, and each configuration has its own.
    Files.copy(other.resolve(CONFIGURATION), directory.resolve(CONFIGURATION));
    return new CephServer(programs, directory, other.resolve(OBJECTS), freePort());
  }

  private static int freePort() throws IOException {
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return free.getLocalPort();
    }
  }

  private void configure() throws IOException {
    for (String part : List.of("db", "index")) {
      Files.createDirectories(directory.resolve(part));
    }
    Files.createDirectories(objects);
    Files.writeString(
        directory.resolve("ceph.conf"),
        """
        [global]
        rgw_backend_store = dbstore
        rgw_filter = posix
        rgw_config_store = dbstore
        dbstore_db_dir = %1$s/db
        dbstore_config_uri = file:%1$s/%4$s
        rgw_posix_base_path = %3$s
        rgw_posix_database_root = %1$s/index
        rgw_data = %1$s
        run_dir = %1$s
        keyring = %1$s/keyring
        admin_socket =
        log_to_stderr = true
        rgw_frontends = beast endpoint=127.0.0.1:%2$d
        """
            .formatted(directory, port, objects, CONFIGURATION));
  }

  /// Starts one of its programs, by the loader and with the libraries that came with it.
  private Process start(String program, String... arguments) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                programs.resolve("loader").toString(),
                "--library-path",
                programs.resolve("lib").toString(),
                programs.resolve("bin").resolve(program).toString(),
                "-c",
                directory.resolve("ceph.conf").toString(),
                "-n",
                "client.rgw.a",
                "--no-mon-config"));
    command.addAll(List.of(arguments));
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(log(program).toFile())
        .start();
  }

  private Path log(String program) {
    return directory.resolve(program + ".log");
  }

  private void await(Process process) throws IOException {
    try {
      if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS) || process.exitValue() != 0) {
        process.destroyForcibly();
        throw new IOException("no user: " + Files.readString(log("radosgw-admin")));
      }
    } catch (InterruptedException e) {
      throw new IOException("interrupted", e);
    }
  }

  private void awaitPort() throws IOException {
    for (long waited = 0; ; waited += 100) {
      try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
        assert socket.isConnected();
        return;
      } catch (IOException e) {
        if (!process.isAlive() || waited > PATIENCE.toMillis()) {
          close();
          throw new IOException("it does not start: " + Files.readString(log("radosgw")), e);
        }
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(100));
      }
    }
  }

  @Override
  public int port() {
    return port;
  }

  @Override
  public Path file(String bucket, String key) {
    return objects.resolve(bucket).resolve(key);
  }

  @Override
  public void createBucket(String bucket) {
    try (S3AsyncClient client = client()) {
      client.createBucket(request -> request.bucket(bucket)).join();
    }
  }

  @Override
  public void put(String bucket, String key, Path file) {
    try (S3AsyncClient client = client()) {
      client
          .putObject(request -> request.bucket(bucket).key(key), AsyncRequestBody.fromFile(file))
          .join();
    }
  }

  @Override
  public void delete(String bucket, String key) {
    try (S3AsyncClient client = client()) {
      client.deleteObject(request -> request.bucket(bucket).key(key)).join();
    }
  }

  private S3AsyncClient client() {
    return S3AsyncClient.builder()
        .endpointOverride(URI.create(url()))
        .region(Region.US_EAST_1)
        .forcePathStyle(true)
        .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
        .credentialsProvider(
            StaticCredentialsProvider.create(
                AwsBasicCredentials.create(S3Server.ACCESS_KEY, S3Server.SECRET_KEY)))
        // One large object in an emulator.
        .httpClientBuilder(
            NettyNioAsyncHttpClient.builder()
                .writeTimeout(PATIENCE.multipliedBy(15))
                .readTimeout(PATIENCE.multipliedBy(15)))
        .overrideConfiguration(timeouts -> timeouts.apiCallTimeout(PATIENCE.multipliedBy(30)))
        .build();
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(20, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException e) {
      throw new UncheckedIOException(new IOException("interrupted", e));
    }
  }
}
