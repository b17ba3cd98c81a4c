package io.ublkbridge.s3;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.gaul.s3proxy.BlobStores;
import org.gaul.s3proxy.S3Proxy;
import org.gaul.s3proxy.auth.AuthenticationType;
import org.gaul.s3proxy.blobstore.BlobStore;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;

/// An S3 server in this process, on loopback, which checks credentials. Objects live in memory, or
/// in a directory where they would be too many bytes.
public final class S3Server implements ObjectServer {
  public static final String ACCESS_KEY = "test-access-key";
  public static final String SECRET_KEY = "test-secret-key";

  private final BlobStore blobs;
  private final @Nullable Path directory;
  private final S3Proxy proxy;

  private S3Server(BlobStore blobs, @Nullable Path directory, int port, boolean signed) {
    this.blobs = blobs;
    this.directory = directory;
    S3Proxy.Builder builder =
        S3Proxy.builder().blobStore(blobs).endpoint(URI.create("http://127.0.0.1:" + port));
    if (signed) {
      builder.awsAuthentication(AuthenticationType.AWS_V2_OR_V4, ACCESS_KEY, SECRET_KEY);
    } else {
      builder.awsAuthentication(AuthenticationType.NONE, "", "");
    }
    this.proxy = builder.build();
    try {
      proxy.start();
    } catch (Exception e) {
      throw new IllegalStateException("the S3 server does not start", e);
    }
  }

  /// Objects in memory, at a free port.
  public static S3Server start() {
    return start(0, null);
  }

  /// Objects where they are wanted.
  ///
  /// @param directory keeps the objects, and may hold some; null for memory
  public static S3Server start(int port, @Nullable Path directory) {
    Properties properties = new Properties();
    if (directory == null) {
      return new S3Server(BlobStores.create("transient-nio2", properties), null, port, true);
    }
    properties.setProperty("s3proxy.nio2.basedir", directory.toString());
    properties.setProperty("jclouds.filesystem.basedir", directory.toString());
    return new S3Server(BlobStores.create("filesystem-nio2", properties), directory, port, true);
  }

  /// One that lets in everybody.
  public static S3Server open() {
    return new S3Server(BlobStores.create("transient-nio2", new Properties()), null, 0, false);
  }

  @Override
  public int port() {
    return proxy.getPort();
  }

  @Override
  public void createBucket(String bucket) {
    blobs.createContainer(bucket);
  }

  public void put(String bucket, String key, byte[] bytes) {
    put(bucket, key, bytes.length, new ByteArrayInputStream(bytes));
  }

  @Override
  public void put(String bucket, String key, Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      put(bucket, key, Files.size(file), in);
    }
  }

  private void put(String bucket, String key, long length, InputStream in) {
    blobs.putBlob(
        PutObjectRequest.builder().bucket(bucket).key(key).contentLength(length).build(), in);
  }

  @Override
  public Path file(String bucket, String key) {
    if (directory == null) {
      throw new IllegalStateException("objects live in memory");
    }
    return directory.resolve(bucket).resolve(key);
  }

  @Override
  public void delete(String bucket, String key) {
    blobs.removeBlob(bucket, key);
  }

  @Override
  public void close() {
    try {
      proxy.stop();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }
}
