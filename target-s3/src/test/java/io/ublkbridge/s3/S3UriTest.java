package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class S3UriTest {
  private static S3Uri parse(String text) throws TargetOpenException {
    return S3Uri.parse(TargetUri.parse(text));
  }

  @Test
  void aKeyMayHaveSlashesAndEscapes() throws TargetOpenException {
    S3Uri uri = parse("s3://my.bucket/a/b%20c+d//e%3Ff%25%23/%C3%A4.img");

    assertEquals("my.bucket", uri.bucket());
    assertEquals("a/b c+d//e?f%#/ä.img", uri.key());
    assertNull(uri.versionId());
  }

  @Test
  void aVersionMayBeNamed() throws TargetOpenException {
    S3Uri uri = parse("s3://bucket/disk.img?versionId=a%2Bb%3D");

    assertEquals("disk.img", uri.key());
    assertEquals("a+b=", uri.versionId());
  }

  @ParameterizedTest
  @CsvSource({
    "s3://bucket/a%20b?versionId=x+y%25, s3://bucket/a%20b?versionId=x+y%25",
    "s3://bucket/%61//b.img, s3://bucket/a//b.img",
    "s3://bucket/%c3%a4%3f%23, s3://bucket/%C3%A4%3F%23"
  })
  void printedItMeansTheSame(String text, String printed) throws TargetOpenException {
    S3Uri uri = parse(text);

    assertEquals(printed, uri.toString());
    assertEquals(uri, parse(printed));
  }

  @ParameterizedTest
  @CsvSource({
    "s3:bucket/key, bucket",
    "s3:///key, bucket",
    "s3://bucket, no object",
    "s3://bucket/, no object",
    "s3://bucket/k?version=1, version",
    "s3://bucket/k?versionId=, empty",
    "s3://bucket/k?versionId=1&versionId=2, two versions",
    "s3://bucket/k?versionId=1&partNumber=2, partNumber",
    "s3://bucket/k#1, fragment",
    "s3://bucket/100%, %",
    "s3://bucket/%zz, %",
    "s3://bucket/%ff, UTF-8",
    "s3://b_ad!/k, b_ad!"
  })
  void whatIsWrittenWrongIsRefusedWithWords(String text, String words) {
    TargetOpenException refusal = assertThrows(TargetOpenException.class, () -> parse(text));

    assertEquals(Reason.INVALID, refusal.reason());
    assertTrue(String.valueOf(refusal.getMessage()).contains(words), refusal.getMessage());
  }
}
