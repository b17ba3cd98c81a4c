package io.ublkbridge.it;

import java.util.Objects;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;

/// Fails a test that leaves on the host what was not there before it.
final class NothingLeftBehind implements BeforeEachCallback, AfterEachCallback {
  private static final Namespace NAMESPACE = Namespace.create(NothingLeftBehind.class);

  @Override
  public void beforeEach(ExtensionContext context) {
    context.getStore(NAMESPACE).put(HostState.class, HostState.now());
  }

  @Override
  public void afterEach(ExtensionContext context) {
    HostState before = context.getStore(NAMESPACE).get(HostState.class, HostState.class);
    Objects.requireNonNull(before).assertUnchanged();
  }
}
