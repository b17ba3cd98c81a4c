package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.security.GeneralSecurityException;
import javax.crypto.KDF;
import javax.crypto.spec.HKDFParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/// The secret that protects one direction of a TLS 1.3 session (RFC 8446, section 7.1), for those
/// who may not see it.
interface TrafficSecret {
  /// `HKDF-Expand-Label` with an empty context (RFC 8446, section 7.1).
  byte[] expandLabel(String label, int lengthBytes) throws IOException;

  /// One whose bytes are known. Needs nothing but the JDK: it is used where BouncyCastle, which
  /// takes its time to load, is not.
  ///
  /// @param hash that of the cipher suite, `SHA256`
  static TrafficSecret of(byte[] secret, String hash) {
    SecretKeySpec key = new SecretKeySpec(secret, "Generic");
    return (label, lengthBytes) -> {
      byte[] name = ("tls13 " + label).getBytes(US_ASCII);
      byte[] info = new byte[4 + name.length];
      info[1] = (byte) lengthBytes;
      info[2] = (byte) name.length;
      System.arraycopy(name, 0, info, 3, name.length);
      try {
        return KDF.getInstance("HKDF-" + hash)
            .deriveData(HKDFParameterSpec.expandOnly(key, info, lengthBytes));
      } catch (GeneralSecurityException e) {
        throw new IOException("this JDK cannot derive the keys of TLS", e);
      }
    };
  }
}
