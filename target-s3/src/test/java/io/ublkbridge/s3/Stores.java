package io.ublkbridge.s3;

import java.util.HashMap;
import java.util.Map;

/// How tests tell a target where its store is, and who asks.
final class Stores {
  static {
    System.setProperty("aws.accessKeyId", S3Server.ACCESS_KEY);
    System.setProperty("aws.secretAccessKey", S3Server.SECRET_KEY);
    // Never the server for the machine's own credentials.
    System.setProperty("aws.disableEc2Metadata", "true");
  }

  private Stores() {}

  static Map<String, String> options(String url, String... more) {
    Map<String, String> options = new HashMap<>();
    options.put("endpoint-url", url);
    options.put("path-style", "true");
    for (int i = 0; i < more.length; i += 2) {
      options.put(more[i], more[i + 1]);
    }
    return options;
  }
}
