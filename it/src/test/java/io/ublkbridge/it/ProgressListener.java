package io.ublkbridge.it;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;

/// Prints each test as it ends, with its time: the launcher's own report comes only at the very
/// end, and never if the machine dies.
public final class ProgressListener implements TestExecutionListener {
  private final Map<String, Instant> started = new ConcurrentHashMap<>();

  @Override
  public void executionStarted(TestIdentifier test) {
    started.put(test.getUniqueId(), Instant.now());
  }

  @Override
  public void executionSkipped(TestIdentifier test, String reason) {
    System.out.println("SKIPPED " + name(test) + ": " + reason);
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    Instant start = started.remove(test.getUniqueId());
    if (test.isTest() && start != null) {
      System.out.printf(
          "%-10s %4d s  %s%n",
          result.getStatus(), Duration.between(start, Instant.now()).toSeconds(), name(test));
      result.getThrowable().ifPresent(failure -> System.out.println("  " + failure));
    }
  }

  private static String name(TestIdentifier test) {
    String id = test.getUniqueId();
    int type = id.indexOf("io.ublkbridge.it.");
    return (type < 0 ? id : id.substring(type + "io.ublkbridge.it.".length()))
        + " "
        + test.getDisplayName();
  }
}
