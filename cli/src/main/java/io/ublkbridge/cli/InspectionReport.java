package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.Extent;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.Offer;
import io.ublkbridge.target.TargetOpenException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Prints what there is to see of a target. A map is printed as it comes, however long it is.
///
/// @param source the URI, as it was given
record InspectionReport(String source, Answer answer) {

  /// For people: the target's fields, and a table of the exports beside it.
  void text(Inspection inspection) {
    FieldText.lines(fields(inspection)).forEach(answer::line);
    List<Offer> offers = inspection.offers();
    if (!offers.isEmpty()) {
      answer.line("");
      Table table = new Table("EXPORT", ">SIZE", "DESCRIPTION");
      for (Offer offer : offers) {
        table.row(
            offer.name().isEmpty() ? "(default)" : offer.name(),
            offer.sizeBytes().isPresent() ? ByteSize.format(offer.sizeBytes().getAsLong()) : "-",
            offer.description());
      }
      table.lines().forEach(answer::line);
    }
  }

  /// For people and for scripts: one extent in each line.
  void map(Inspection inspection) throws CommandFailure {
    String row = rowFormat(inspection);
    boolean[] headed = new boolean[1];
    readMap(
        inspection,
        extent -> {
          if (!headed[0]) {
            headed[0] = true;
            answer.line(row.formatted("OFFSET", "LENGTH", "TYPE"));
          }
          answer.line(row.formatted(extent.offsetBytes(), extent.lengthBytes(), word(extent)));
        });
  }

  /// Columns wide enough for every number, as no row is known before it is printed.
  private static String rowFormat(Inspection inspection) {
    long size =
        inspection.target().map(target -> target.geometry().sizeBytes()).orElse(Long.MAX_VALUE);
    int width = Math.max("OFFSET".length(), Long.toString(size).length());
    return "%" + width + "s %" + width + "s %s";
  }

  void json(Inspection inspection, boolean withMap) throws CommandFailure {
    Map<String, Object> document = new LinkedHashMap<>();
    document.put("version", DeviceRecord.VERSION);
    document.putAll(fields(inspection));
    if (!inspection.offers().isEmpty()) {
      document.put("exports", inspection.offers().stream().map(InspectionReport::fields).toList());
    }
    if (!withMap) {
      answer.line(Json.write(document));
      return;
    }
    PrintWriter out = answer.out();
    Json.write(
        out,
        document,
        "map",
        elements -> readMap(inspection, extent -> elements.accept(fields(extent))));
    out.println();
  }

  private void readMap(Inspection inspection, Inspection.ExtentVisitor visitor)
      throws CommandFailure {
    try {
      inspection.readMap(visitor);
    } catch (TargetOpenException e) {
      throw CommandFailure.of("cannot map " + source, e);
    }
  }

  private Map<String, Object> fields(Inspection inspection) {
    return inspection
        .target()
        .map(target -> TargetDescription.of(source, target))
        .orElseGet(() -> Map.of("source", source));
  }

  private static Map<String, Object> fields(Offer offer) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("name", offer.name());
    offer.sizeBytes().ifPresent(size -> fields.put("size", size));
    if (!offer.description().isEmpty()) {
      fields.put("description", offer.description());
    }
    return fields;
  }

  private static Map<String, Object> fields(Extent extent) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("offset", extent.offsetBytes());
    fields.put("length", extent.lengthBytes());
    fields.put("type", word(extent));
    return fields;
  }

  private static String word(Extent extent) {
    return extent.type().name().toLowerCase(Locale.ROOT);
  }
}
