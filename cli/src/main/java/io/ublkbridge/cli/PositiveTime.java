package io.ublkbridge.cli;

import io.ublkbridge.target.Durations;
import java.time.Duration;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// An option's time, as `90s` or `10m`, longer than nothing.
final class PositiveTime implements ITypeConverter<Duration> {
  @Override
  public Duration convert(String text) {
    Duration time;
    try {
      time = Durations.parse(text);
    } catch (IllegalArgumentException e) {
      throw new TypeConversionException(String.valueOf(e.getMessage()));
    }
    if (!time.isPositive()) {
      throw new TypeConversionException("must be longer than nothing");
    }
    return time;
  }
}
