package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_HAS_FLAGS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_BLOCK_SIZE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_DESCRIPTION;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_NAME;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXTENDED_HEADERS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_GO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_INFO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_LIST;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_SET_META_CONTEXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_STARTTLS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_STRUCTURED_REPLY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_BLOCK_SIZE_REQD;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_POLICY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_SHUTDOWN;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_TLS_REQD;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_TOO_BIG;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_UNKNOWN;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ERR_UNSUP;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.target.Offer;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The conversation about options (spec: "Option haggling"): which option comes next, and what each
/// reply means. Knows no bytes on the wire and no clock; [HandshakeHandler] does that part.
///
/// ```
/// EXTENDED_HEADERS ──agreed──┬→ [LIST → INFO for each → SET_META_CONTEXT] → GO → transmission
///   └─refused─→ STRUCTURED_REPLY ┘                                          │
///                                        EXPORT_NAME ←──────────ERR_UNSUP───┤
///                LIST, to name what there is → ABORT ←────────ERR_UNKNOWN───┘
/// ```
///
/// What stands in brackets is asked only for an inspection, and LIST only if that is of the default
/// export: whoever names an export does not look for others.
///
/// STARTTLS comes before all of it where TLS is wanted; whatever the server answers but yes, is the
/// end.
///
/// Confined to one thread; used for one connection.
final class OptionHaggling {
  /// How many replies one option may have: more is a server that never ends.
  private static final int REPLIES_MAX = 10_000;

  private static final ByteBuffer NO_DATA = ByteBuffer.allocate(0).asReadOnlyBuffer();

  private final String exportName;
  private final boolean inspection;
  private final ExportCatalog catalog = new ExportCatalog();

  private int option;
  private int replies;
  private HeaderForm headers = HeaderForm.SIMPLE;
  private OptionReply.@Nullable Export export;
  private ExportInfo.BlockSizes blockSizes = ExportInfo.BlockSizes.DEFAULT;
  private String name;
  private String description = "";
  private OptionalInt allocationContext = OptionalInt.empty();
  private boolean listed;

  /// Set while a list is fetched only to make this failure more helpful.
  private OptionReply.@Nullable Refusal unknownExport;

  OptionHaggling(String exportName, Purpose purpose) {
    this.exportName = exportName;
    this.name = exportName;
    this.inspection = purpose == Purpose.INSPECTION;
  }

  /// Begins with the only thing that is said in plain text when TLS is wanted.
  HaggleStep startTls() {
    return send(NBD_OPT_STARTTLS, NO_DATA);
  }

  /// Begins, or begins anew inside TLS.
  HaggleStep start() {
    return send(NBD_OPT_EXTENDED_HEADERS, NO_DATA);
  }

  /// Takes one reply to the option that was sent last.
  HaggleStep onReply(OptionReply reply) throws ProtocolViolation {
    if (++replies > REPLIES_MAX) {
      throw new ProtocolViolation("never ends its answer to " + NbdProtocol.optionName(option));
    }
    return switch (option) {
      case NBD_OPT_STARTTLS -> onStartTls(reply);
      case NBD_OPT_EXTENDED_HEADERS -> onHeaders(reply, HeaderForm.EXTENDED);
      case NBD_OPT_STRUCTURED_REPLY -> onHeaders(reply, HeaderForm.STRUCTURED);
      case NBD_OPT_LIST -> onList(reply);
      case NBD_OPT_INFO -> onInfo(reply);
      case NBD_OPT_SET_META_CONTEXT -> onMetaContext(reply);
      case NBD_OPT_GO -> onGo(reply);
      default -> throw new IllegalStateException("no reply is due to option " + option);
    };
  }

  /// Takes the answer to EXPORT_NAME, which is always a yes.
  HaggleStep onExportName(long sizeBytes, int flags) throws ProtocolViolation {
    export = new OptionReply.Export(sizeBytes, flags);
    return enter();
  }

  private HaggleStep onStartTls(OptionReply reply) throws ProtocolViolation {
    return switch (reply) {
      case OptionReply.Ack _ -> new HaggleStep.StartTls();
      case OptionReply.Refusal error -> new HaggleStep.Abort(noTls(error));
      default -> throw unexpected(reply);
    };
  }

  private TargetOpenException noTls(OptionReply.Refusal error) {
    String said = error.text().isEmpty() ? "" : ": " + error.text();
    return switch (error.type()) {
      case NBD_REP_ERR_SHUTDOWN -> failure(error);
      case NBD_REP_ERR_UNSUP, NBD_REP_ERR_POLICY ->
          new TargetOpenException(
              Reason.REFUSED,
              "the server has no TLS" + said,
              "set it up there; plain text is only sent if you write nbd: in place of nbds:");
      default ->
          new TargetOpenException(
              Reason.REFUSED,
              "the server refused to start TLS (" + errorName(error.type()) + ")" + said,
              "does the server's log say why?");
    };
  }

  private HaggleStep onHeaders(OptionReply reply, HeaderForm asked) throws ProtocolViolation {
    return switch (reply) {
      case OptionReply.Ack _ -> {
        headers = asked;
        yield onHeadersAgreed();
      }
      case OptionReply.Refusal error when isFinal(error) -> abort(error);
      case OptionReply.Refusal _ ->
          asked == HeaderForm.EXTENDED
              ? send(NBD_OPT_STRUCTURED_REPLY, NO_DATA)
              : onHeadersAgreed();
      default -> throw unexpected(reply);
    };
  }

  private HaggleStep onHeadersAgreed() {
    return inspection && exportName.isEmpty() ? list() : metaContext();
  }

  private HaggleStep list() {
    listed = true;
    return send(NBD_OPT_LIST, NO_DATA);
  }

  private HaggleStep onList(OptionReply reply) throws ProtocolViolation {
    OptionReply.Refusal unknown = unknownExport;
    return switch (reply) {
      case OptionReply.Server server -> {
        catalog.add(server);
        yield new HaggleStep.Wait();
      }
      case OptionReply.Refusal error when unknown == null && isFinal(error) -> abort(error);
      case OptionReply.Ack _ -> unknown == null ? info() : abort(unknown);
      case OptionReply.Refusal _ -> unknown == null ? info() : abort(unknown);
      default -> throw unexpected(reply);
    };
  }

  private HaggleStep info() {
    return catalog.next() ? send(NBD_OPT_INFO, exportRequest(catalog.name())) : metaContext();
  }

  /// A server need not answer for every export that it lists: not without TLS, for example.
  private HaggleStep onInfo(OptionReply reply) throws ProtocolViolation {
    switch (reply) {
      case OptionReply.Export export -> catalog.size(export.sizeBytes());
      case OptionReply.Description text -> catalog.description(text.description());
      case OptionReply.BlockSize _, OptionReply.Name _, OptionReply.OtherInfo _ -> {}
      case OptionReply.Ack _ -> {
        return info();
      }
      case OptionReply.Refusal error when error.type() == NBD_REP_ERR_SHUTDOWN -> {
        return abort(error);
      }
      case OptionReply.Refusal error -> {
        if (error.type() == NBD_REP_ERR_UNSUP) {
          catalog.askNoMore();
        }
        return info();
      }
      default -> throw unexpected(reply);
    }
    return new HaggleStep.Wait();
  }

  /// Contexts belong to the export of the GO that follows; a server without chunks has none.
  private HaggleStep metaContext() {
    if (!inspection || !headers.structuredReplies()) {
      return go();
    }
    byte[] export = exportName.getBytes(UTF_8);
    byte[] query = NbdProtocol.BASE_ALLOCATION.getBytes(UTF_8);
    ByteBuffer data = ByteBuffer.allocate(4 + export.length + 4 + 4 + query.length);
    data.putInt(export.length).put(export).putInt(1).putInt(query.length).put(query);
    return send(NBD_OPT_SET_META_CONTEXT, data.flip());
  }

  private HaggleStep onMetaContext(OptionReply reply) throws ProtocolViolation {
    return switch (reply) {
      case OptionReply.MetaContext context -> {
        if (!context.name().equals(NbdProtocol.BASE_ALLOCATION) || allocationContext.isPresent()) {
          throw new ProtocolViolation("chose a metadata context that it was not asked for");
        }
        allocationContext = OptionalInt.of(context.id());
        yield new HaggleStep.Wait();
      }
      case OptionReply.Ack _ -> go();
      case OptionReply.Refusal error when error.type() == NBD_REP_ERR_SHUTDOWN -> abort(error);
      case OptionReply.Refusal _ -> {
        allocationContext = OptionalInt.empty();
        yield go();
      }
      default -> throw unexpected(reply);
    };
  }

  private HaggleStep onGo(OptionReply reply) throws ProtocolViolation {
    switch (reply) {
      case OptionReply.Export info -> export = info;
      case OptionReply.BlockSize info -> blockSizes = info.sizes();
      case OptionReply.Name info -> name = info.name();
      case OptionReply.Description info -> description = info.description();
      case OptionReply.OtherInfo _ -> {}
      case OptionReply.Ack _ -> {
        return enter();
      }
      case OptionReply.Refusal error -> {
        return onGoRefused(error);
      }
      case OptionReply.Server _, OptionReply.MetaContext _ -> throw unexpected(reply);
    }
    return new HaggleStep.Wait();
  }

  private HaggleStep onGoRefused(OptionReply.Refusal error) {
    if (error.type() == NBD_REP_ERR_UNSUP && !headers.extendedHeaders()) {
      return new HaggleStep.SendExportName(UTF_8.encode(exportName));
    }
    if (error.type() == NBD_REP_ERR_UNKNOWN && !listed) {
      unknownExport = error;
      return list();
    }
    return abort(error);
  }

  private HaggleStep go() {
    return send(NBD_OPT_GO, exportRequest(exportName));
  }

  private static ByteBuffer exportRequest(String export) {
    byte[] bytes = export.getBytes(UTF_8);
    ByteBuffer data = ByteBuffer.allocate(4 + bytes.length + 2 + 3 * 2);
    data.putInt(bytes.length).put(bytes);
    data.putShort((short) 3);
    // Asking for the block sizes is a promise to obey them.
    data.putShort((short) NBD_INFO_BLOCK_SIZE);
    data.putShort((short) NBD_INFO_NAME).putShort((short) NBD_INFO_DESCRIPTION);
    return data.flip();
  }

  private HaggleStep enter() throws ProtocolViolation {
    OptionReply.Export known = export;
    if (known == null) {
      throw new ProtocolViolation("opened the export without telling its size");
    }
    if ((known.flags() & NBD_FLAG_HAS_FLAGS) == 0) {
      throw new ProtocolViolation("sent transmission flags without HAS_FLAGS");
    }
    if (!blockSizes.consistent()) {
      throw new ProtocolViolation(
          "sent impossible block sizes: minimum "
              + blockSizes.minimum()
              + ", preferred "
              + blockSizes.preferred()
              + ", maximum "
              + blockSizes.maximum());
    }
    ExportInfo info = new ExportInfo(known.sizeBytes(), known.flags(), blockSizes, headers);
    return new HaggleStep.Enter(
        new Negotiated(info, name, description, catalog.offers(), allocationContext));
  }

  private HaggleStep send(int next, ByteBuffer data) {
    option = next;
    replies = 0;
    return new HaggleStep.Send(next, data);
  }

  private ProtocolViolation unexpected(OptionReply reply) {
    return new ProtocolViolation(
        "answered " + NbdProtocol.optionName(option) + " with " + reply.getClass().getSimpleName());
  }

  /// Whether a refusal of any option means that no other will be granted.
  private static boolean isFinal(OptionReply.Refusal error) {
    return error.type() == NBD_REP_ERR_TLS_REQD || error.type() == NBD_REP_ERR_SHUTDOWN;
  }

  private HaggleStep abort(OptionReply.Refusal error) {
    return new HaggleStep.Abort(failure(error));
  }

  private TargetOpenException failure(OptionReply.Refusal error) {
    String which =
        exportName.isEmpty()
            ? "the default export"
            : "export '" + ServerText.clean(exportName) + "'";
    String said = error.text().isEmpty() ? "" : ": " + error.text();
    return switch (error.type()) {
      case NBD_REP_ERR_TLS_REQD ->
          new TargetOpenException(
              Reason.REFUSED,
              "the server demands TLS" + said,
              "write nbds: in place of nbd:, with --tls-certificates DIR or --tls-psk-file FILE");
      case NBD_REP_ERR_UNKNOWN ->
          new TargetOpenException(
              Reason.FAILED,
              "the server does not know " + which + said,
              exportsRemedy(),
              new UnknownExport(catalog.offers()));
      case NBD_REP_ERR_POLICY ->
          new TargetOpenException(
              Reason.REFUSED,
              "the server does not let this client use " + which + said,
              "allow this host in the server's configuration");
      case NBD_REP_ERR_SHUTDOWN ->
          new TargetOpenException(
              Reason.UNREACHABLE, "the server is shutting down" + said, "try again later");
      case NBD_REP_ERR_BLOCK_SIZE_REQD, NBD_REP_ERR_TOO_BIG ->
          new TargetOpenException(
              Reason.UNSUPPORTED, "the server does not open " + which + said, null);
      default ->
          new TargetOpenException(
              Reason.FAILED,
              "the server refused " + which + " (" + errorName(error.type()) + ")" + said,
              null);
    };
  }

  private @Nullable String exportsRemedy() {
    List<Offer> exports = catalog.offers();
    if (exports.isEmpty()) {
      return "check the export's name with the server's administrator";
    }
    return exports.stream()
        .map(offer -> "'" + offer.name() + "'")
        .limit(10)
        .collect(Collectors.joining(", ", "the server has: ", exports.size() > 10 ? ", …" : ""));
  }

  private static String errorName(int type) {
    return switch (type) {
      case NbdProtocol.NBD_REP_ERR_UNSUP -> "ERR_UNSUP";
      case NbdProtocol.NBD_REP_ERR_INVALID -> "ERR_INVALID";
      case NbdProtocol.NBD_REP_ERR_PLATFORM -> "ERR_PLATFORM";
      default -> "error " + (type & ~NbdProtocol.NBD_REP_FLAG_ERROR);
    };
  }
}
