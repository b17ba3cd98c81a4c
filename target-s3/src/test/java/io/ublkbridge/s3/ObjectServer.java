package io.ublkbridge.s3;

import java.io.IOException;
import java.nio.file.Path;

/// An S3 server on loopback, for tests and benchmarks. It knows [S3Server#ACCESS_KEY].
public interface ObjectServer extends AutoCloseable {
  int port();

  default String url() {
    return "http://127.0.0.1:" + port();
  }

  /// Leaves one that there is as it is.
  void createBucket(String bucket);

  void put(String bucket, String key, Path file) throws IOException;

  void delete(String bucket, String key);

  /// The file that is an object, of a server that keeps them in a directory.
  Path file(String bucket, String key);

  @Override
  void close();
}
