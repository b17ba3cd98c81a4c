package io.ublkbridge.device;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.ServiceLoader;
import java.util.TreeSet;

/// Finds the provider of a URI's scheme among those on the class path.
public final class TargetRegistry {
  private final Iterable<TargetProvider> providers;

  TargetRegistry(Iterable<TargetProvider> providers) {
    this.providers = providers;
  }

  public static TargetRegistry load() {
    return new TargetRegistry(ServiceLoader.load(TargetProvider.class));
  }

  /// Checks that a URI is well written, without touching what it names.
  ///
  /// @return a URI that means the same in every working directory
  /// @throws TargetOpenException if no provider knows its scheme, or its provider rejects it
  public TargetUri resolve(TargetUri uri) throws TargetOpenException {
    return providerOf(uri).resolve(uri);
  }

  /// Opens the target of a URI.
  ///
  /// @throws TargetOpenException if no provider knows its scheme, or its provider cannot open it
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    return providerOf(uri).open(uri, context);
  }

  /// How much memory a cache in front of a URI's target gets unless told otherwise, in bytes.
  ///
  /// @throws TargetOpenException if no provider knows its scheme
  public long cacheBytesByDefault(TargetUri uri) throws TargetOpenException {
    return providerOf(uri).cacheBytesByDefault();
  }

  /// Looks at what a URI names.
  ///
  /// @throws TargetOpenException if no provider knows its scheme, or there is nothing to see
  public Inspection inspect(TargetUri uri, OpenContext context) throws TargetOpenException {
    return providerOf(uri).inspect(uri, context);
  }

  private TargetProvider providerOf(TargetUri uri) throws TargetOpenException {
    TreeSet<String> known = new TreeSet<>();
    for (TargetProvider provider : providers) {
      if (provider.schemes().contains(uri.scheme())) {
        return provider;
      }
      known.addAll(provider.schemes());
    }
    throw new TargetOpenException(
        Reason.INVALID,
        "nothing here knows the scheme '" + uri.scheme() + "'",
        "use one of " + String.join(": ", known) + ":");
  }
}
