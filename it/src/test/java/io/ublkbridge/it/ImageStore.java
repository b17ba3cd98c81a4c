package io.ublkbridge.it;

import io.ublkbridge.s3.CephServer;
import io.ublkbridge.s3.ObjectServer;
import io.ublkbridge.s3.S3Server;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// An S3 server on loopback that keeps large objects, in files.
///
/// @param server which one
/// @param directory its own, gone when closed
record ImageStore(ObjectServer server, Path directory) implements AutoCloseable {
  static final String BUCKET = "images";

  /// What `it/soak/run` prepared.
  static final Path FILES = Path.of(System.getProperty("soak.files", "/share/soak"));

  private static final String STORE = System.getProperty("soak.store", "store");

  /// Starts one with one object.
  static ImageStore with(String key, Path image) throws IOException {
    Path directory = ownDirectory();
    S3Server server = S3Server.start(0, directory);
    server.createBucket(BUCKET);
    server.put(BUCKET, key, image);
    return new ImageStore(server, directory);
  }

  /// Starts the server of this process, or, with `-Dsoak.store=ceph-store`, Ceph's, on the objects
  /// that `it/soak/run` let it store on the host. Tests on other machines read the same files.
  static ImageStore prepared() throws IOException {
    Path directory = ownDirectory();
    Path stored = FILES.resolve(STORE);
    if (!STORE.startsWith("ceph")) {
      return new ImageStore(S3Server.start(0, stored), directory);
    }
    return new ImageStore(CephServer.startOn(stored, FILES.resolve("ceph"), directory), directory);
  }

  private static Path ownDirectory() throws IOException {
    // Not /tmp, which may be in memory.
    return Files.createTempDirectory(Path.of("/var/tmp"), "store");
  }

  String url() {
    return server.url();
  }

  /// Attaches by the command, as a server process of its own, with the credentials in the
  /// environment that `it/device-tests` gives.
  Disk attach(String url, String key, String... options) {
    String[] all = new String[options.length + 3];
    all[0] = "--endpoint-url";
    all[1] = url;
    all[2] = "--path-style";
    System.arraycopy(options, 0, all, 3, options.length);
    return Disk.attach("s3://" + BUCKET + "/" + key, all);
  }

  @Override
  public void close() {
    server.close();
    Command.shell("rm -rf " + directory);
  }
}
