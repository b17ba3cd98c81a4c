package io.ublkbridge.loop;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens `null:SIZE` and `memory:SIZE`. Any thread may call.
public final class LocalTargetProvider implements TargetProvider {
  private static final String NULL = "null";
  private static final String MEMORY = "memory";

  @Override
  public Set<String> schemes() {
    return Set.of(NULL, MEMORY);
  }

  @Override
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    return switch (uri.scheme()) {
      case NULL -> new NullTarget(DiskSize.parse(uri));
      case MEMORY -> new MemoryTarget(DiskSize.parse(uri));
      default -> throw new IllegalArgumentException("not a scheme of this provider: " + uri);
    };
  }
}
