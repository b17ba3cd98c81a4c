package io.ublkbridge.cli;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import java.util.LinkedHashMap;
import java.util.Map;

/// What a target offers, as fields to print; sizes in bytes.
final class TargetDescription {
  private TargetDescription() {}

  static Map<String, Object> of(String source, BlockTarget target) {
    Geometry geometry = target.geometry();
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("source", source);
    fields.put("size", geometry.sizeBytes());
    fields.put("blockSize", geometry.blockBytes());
    fields.put("preferredIo", geometry.preferredIoBytes());
    fields.put("maxIo", geometry.maxIoBytes());
    fields.put("maxZero", geometry.maxZeroBytes());
    fields.put("features", features(target.capabilities()));
    fields.put("target", target.details());
    return fields;
  }

  static Map<String, Object> features(Capabilities capabilities) {
    Map<String, Object> features = new LinkedHashMap<>();
    features.put("readOnly", capabilities.readOnly());
    features.put("flush", capabilities.volatileCache());
    features.put("fua", capabilities.fua());
    features.put("discard", capabilities.discard());
    features.put("writeZeroes", capabilities.writeZeroes());
    features.put("rotational", capabilities.rotational());
    features.put("queues", capabilities.queues());
    return features;
  }
}
