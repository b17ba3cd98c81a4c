package io.ublkbridge.s3;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens disk images in object storage: `s3://bucket/key`. Any thread may call.
public final class S3TargetProvider implements TargetProvider {
  private static final long CACHE_BYTES = 256L << 20;

  @Override
  public Set<String> schemes() {
    return Set.of(S3Uri.SCHEME);
  }

  @Override
  public TargetUri resolve(TargetUri uri) throws TargetOpenException {
    var _ = S3Uri.parse(uri);
    return uri;
  }

  @Override
  public long cacheBytesByDefault() {
    return CACHE_BYTES;
  }

  @Override
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    return new S3Opener(S3Uri.parse(uri), context).open();
  }
}
