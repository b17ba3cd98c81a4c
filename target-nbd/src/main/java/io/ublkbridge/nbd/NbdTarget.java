package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_READ_ONLY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FLUSH;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One export of an NBD server.
///
/// The first connection is made when the target is opened, on the loop of queue 0, and becomes that
/// queue's. More than one connection is used only where the server declares CAN_MULTI_CONN, and
/// each must find exactly the export that the first one found.
///
/// Called from control threads.
final class NbdTarget implements BlockTarget {
  private static final Logger LOG = LoggerFactory.getLogger(NbdTarget.class);

  /// How many queues, and so connections, are offered when nobody says how many.
  private static final int QUEUES_DEFAULT = 4;

  private final NbdDialer dialer;
  private final NbdOptions options;
  private final Negotiated negotiated;
  private final Geometry geometry;
  private final Capabilities capabilities;
  private final @Nullable TlsFacts tls;

  /// The first connection while no queue has taken it. Guarded by this.
  private @Nullable NbdConnection first;

  /// @param first belongs to this once the constructor returns
  NbdTarget(NbdDialer dialer, NbdOptions options, NbdConnection first) throws TargetOpenException {
    this.dialer = dialer;
    this.options = options;
    this.first = first;
    this.negotiated = first.negotiated();
    this.tls = first.tls();
    ExportInfo info = negotiated.info();
    this.geometry = info.geometry();
    this.capabilities =
        info.capabilities(info.multiConn() ? options.connections().orElse(QUEUES_DEFAULT) : 1);
    warn(info);
  }

  private void warn(ExportInfo info) {
    long tailBytes = info.sizeBytes() - geometry.sizeBytes();
    if (tailBytes > 0) {
      LOG.warn(
          "NBD export at {}: its last {} bytes are less than a block and cannot be reached",
          dialer.uri().endpoint(),
          tailBytes);
    }
    if (!info.has(NBD_FLAG_SEND_FLUSH) && !info.has(NBD_FLAG_READ_ONLY)) {
      LOG.warn(
          "NBD export at {}: the server offers no FLUSH, so a write counts as durable as soon as it"
              + " is answered (nbd-server: set flush=true)",
          dialer.uri().endpoint());
    }
    if (tls != null && !tls.peerVerified()) {
      LOG.warn(
          "NBD export at {}: who the server is was not verified, as tls-verify-peer=0 demands:"
              + " anybody in the middle can read and change what is on the disk",
          dialer.uri().endpoint());
    }
    if (!info.multiConn() && options.connections().orElse(1) > 1) {
      LOG.warn(
          "NBD export at {}: one connection is used, as the server does not declare that several"
              + " are safe",
          dialer.uri().endpoint());
    }
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    return capabilities;
  }

  @Override
  public Map<String, Object> details() {
    ExportInfo info = negotiated.info();
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("server", dialer.uri().endpoint().toString());
    details.put("export", negotiated.name());
    if (!negotiated.description().isEmpty()) {
      details.put("description", negotiated.description());
    }
    details.put("structuredReplies", info.structuredReplies());
    details.put("multiConn", info.multiConn());
    details.put("connections", (long) capabilities.queues());
    details.put("minimumBlockBytes", info.blockSizes().minimum());
    details.put("preferredBlockBytes", info.blockSizes().preferred());
    details.put("maximumPayloadBytes", info.blockSizes().maximum());
    details.put("tls", tls != null);
    if (tls != null) {
      details.putAll(tls.details());
    }
    if (!negotiated.exports().isEmpty()) {
      details.put("exports", negotiated.exports().stream().map(NbdTarget::detail).toList());
    }
    return details;
  }

  private static Map<String, Object> detail(OptionReply.Server export) {
    String name = ServerText.clean(export.name());
    return export.description().isEmpty()
        ? Map.of("name", name)
        : Map.of("name", name, "description", export.description());
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    List<NbdConnection> connections = new ArrayList<>();
    try {
      int count = connectionsOf(context);
      while (connections.size() < count) {
        connections.add(connection(context));
      }
      return new NbdQueue(connections, context.eventLoop(), geometry, options.ioTimeout());
    } catch (TargetOpenException e) {
      connections.forEach(NbdConnection::close);
      throw e;
    }
  }

  /// How many connections a queue gets: one, or its share of those that were asked for.
  private int connectionsOf(QueueContext context) {
    if (!negotiated.info().multiConn()) {
      return 1;
    }
    int all = options.connections().orElse(context.count());
    int share = all / context.count() + (context.index() < all % context.count() ? 1 : 0);
    return Math.max(1, share);
  }

  private NbdConnection connection(QueueContext context) throws TargetOpenException {
    NbdConnection kept = context.index() == 0 ? takeFirst() : null;
    if (kept != null) {
      if (kept.isOpen() && kept.isOn(context.eventLoop())) {
        return kept;
      }
      kept.close();
    }
    NbdConnection made = dialer.dial(context.eventLoop(), false);
    if (!made.negotiated().info().equals(negotiated.info())) {
      made.close();
      throw new TargetOpenException(
          Reason.FAILED,
          "the server describes the export differently on another connection",
          "was the export replaced just now? try again");
    }
    return made;
  }

  @Override
  public void close() {
    NbdConnection kept = takeFirst();
    if (kept != null) {
      kept.close();
    }
  }

  private synchronized @Nullable NbdConnection takeFirst() {
    NbdConnection taken = first;
    first = null;
    return taken;
  }
}
