package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.util.AttributeKey;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What two sides of a connection have agreed on.
///
/// @param protocol such as `TLSv1.3`
/// @param cipher the suite's name in the standard
/// @param credentials what they prove themselves with
/// @param peerVerified whether the server has proved who it is
/// @param inKernel whether the kernel makes and opens the records, and not this process
record TlsFacts(
    String protocol,
    String cipher,
    TlsSettings.Mode credentials,
    boolean peerVerified,
    boolean inKernel) {
  private static final AttributeKey<TlsFacts> KEY = AttributeKey.valueOf(TlsFacts.class, "tls");

  /// These facts of records that are the kernel's.
  TlsFacts withRecordsInKernel() {
    return new TlsFacts(protocol, cipher, credentials, peerVerified, true);
  }

  /// Notes them with their channel.
  void keepWith(Channel channel) {
    channel.attr(KEY).set(this);
  }

  /// Those of a channel; null if it is plain. Callable from every thread.
  static @Nullable TlsFacts of(Channel channel) {
    return channel.attr(KEY).get();
  }

  /// For [io.ublkbridge.target.BlockTarget#details].
  Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("tlsProtocol", protocol);
    details.put("tlsCipher", cipher);
    details.put("tlsCredentials", credentials == TlsSettings.Mode.PSK ? "psk" : "x509");
    details.put("tlsPeerVerified", peerVerified);
    details.put("tlsRecords", inKernel ? "kernel" : "process");
    return details;
  }
}
