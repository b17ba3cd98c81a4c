package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/// The proxy, where it does not spoil anything.
final class FaultyProxyTest {
  @Test
  void aBodyThatWaitsForLeaveGetsIt() throws Exception {
    byte[] bytes = SeekableZstd.noise(10_000, 1);
    try (S3Server server = S3Server.open();
        FaultyProxy proxy = FaultyProxy.before(server);
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
      server.createBucket("images");
      HttpRequest.Builder request =
          HttpRequest.newBuilder(URI.create(proxy.url() + "/images/x"))
              .timeout(Duration.ofSeconds(60));
      HttpRequest put =
          request.copy().expectContinue(true).PUT(BodyPublishers.ofByteArray(bytes)).build();

      assertEquals(200, client.send(put, BodyHandlers.discarding()).statusCode());
      assertArrayEquals(bytes, client.send(request.build(), BodyHandlers.ofByteArray()).body());
    }
  }
}
