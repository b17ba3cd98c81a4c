package io.ublkbridge.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/// The manual page, in the language of man(7). All that it says of verbs and options is what
/// `--help` says, so that the two cannot differ. The build writes it into the distribution.
final class ManPage {
  private static final String FILES =
      """
      .SH FILES
      .TP
      .I /dev/ublkbN\\fR, \\fI/dev/ublkcN
      the disk, and its server's side of it
      .TP
      .I /run/ublk-bridge/N.json\\fR, \\fI/run/ublk-bridge/N.sock
      what the disk is, and where its server answers
      .TP
      .I /run/ublk-bridge/N.journal
      nbd: writes that the next server does again if this one dies
      .TP
      .I /var/log/ublk-bridge/N.log
      what its server says; a clean detach removes it
      """;

  private static final String ENVIRONMENT =
      """
      .SH ENVIRONMENT
      .TP
      .B UBLK_BRIDGE_JAVA\\fR, \\fBJAVA_HOME
      where a Java 25 or newer is, if not in \\fI/usr/lib/jvm\\fR or on the \\fBPATH\\fR
      .TP
      .B UBLK_BRIDGE_JAVA_OPTIONS
      more options for the JVM of a device's server
      """;

  private static final Pattern HEADING = Pattern.compile("([A-Z][a-z ]+): ?(.*)");

  private final StringBuilder page = new StringBuilder();

  private ManPage() {}

  /// Writes the page to a file.
  ///
  /// @param arguments the file
  public static void main(String[] arguments) throws IOException {
    Path file = Path.of(arguments[0]);
    Files.createDirectories(file.toAbsolutePath().getParent());
    Files.writeString(file, text());
  }

  static String text() {
    PrintWriter unheard = new PrintWriter(Writer.nullWriter());
    CommandLine command =
        new CommandRunner(new Answer(unheard, unheard), Host.real()).commandLine(List.of());
    return new ManPage().of(command);
  }

  private String of(CommandLine command) {
    CommandSpec spec = command.getCommandSpec();
    List<CommandSpec> verbs =
        command.getSubcommands().values().stream().map(CommandLine::getCommandSpec).toList();
    page.append(".TH UBLK\\-BRIDGE 1 \"\" \"ublk\\-bridge\" \"User Commands\"\n.ad l\n");
    section("NAME");
    page.append(escaped(spec.name() + " - "))
        .append(escaped(String.join(" ", spec.usageMessage().header())))
        .append('\n');
    section("SYNOPSIS");
    for (CommandSpec verb : verbs) {
      synopsis(verb);
    }
    section("VERBS");
    verbs.forEach(this::verb);
    section("OPTIONS OF EVERY VERB");
    verbs.getFirst().options().stream().filter(ManPage::isCommon).forEach(this::option);
    page.append(FILES).append(ENVIRONMENT);
    sections(spec.usageMessage().footer());
    return page.toString();
  }

  private void section(String heading) {
    page.append(".SH ").append(heading).append('\n');
  }

  private void synopsis(CommandSpec verb) {
    page.append(".B ublk\\-bridge ").append(escaped(verb.name())).append('\n');
    String operands =
        verb.positionalParameters().stream()
            .map(operand ->
                italic(operand.paramLabel()) + (operand.arity().isVariable() ? "..." : ""))
            .collect(Collectors.joining(" "));
    page.append("[\\fIoption\\fR...]")
        .append(operands.isEmpty() ? "" : " " + operands)
        .append("\n.br\n");
  }

  private void verb(CommandSpec verb) {
    page.append(".SS ").append(escaped(verb.name())).append('\n');
    paragraph(verb.usageMessage().header());
    paragraphs(verb.usageMessage().description());
    verb.positionalParameters().forEach(operand -> item(italic(operand.paramLabel()), operand));
    verb.options().stream().filter(option -> !isCommon(option)).forEach(this::option);
    footer(List.of(verb.usageMessage().footer()));
  }

  private static boolean isCommon(OptionSpec option) {
    return option.usageHelp() || option.longestName().equals("--verbose");
  }

  private void option(OptionSpec option) {
    String names =
        Arrays.stream(option.names())
            .map(name -> "\\fB" + escaped(name) + "\\fR")
            .collect(Collectors.joining(", "));
    boolean takesValue = option.arity().max() > 0;
    item(names + (takesValue ? " " + italic(option.paramLabel()) : ""), option);
  }

  private void item(String tag, ArgSpec what) {
    page.append(".TP\n").append(tag).append('\n');
    for (String line : what.description()) {
      page.append(escaped(line)).append('\n');
    }
  }

  private static String italic(String text) {
    return "\\fI" + escaped(text) + "\\fR";
  }

  private void paragraph(String... lines) {
    for (String line : lines) {
      page.append(escaped(line)).append('\n');
    }
  }

  /// Lines of help, in which an empty one parts paragraphs.
  private void paragraphs(String... lines) {
    if (lines.length > 0) {
      page.append(".PP\n");
    }
    for (String line : lines) {
      page.append(line.isEmpty() ? ".PP" : escaped(line)).append('\n');
    }
  }

  /// What stands below the options: examples, which are indented and stay as they are, and words.
  private void footer(List<String> lines) {
    List<String> block = new ArrayList<>();
    for (String line : lines) {
      if (line.startsWith("  ")) {
        block.add(escaped(line.substring(2)));
        continue;
      }
      example(block);
      page.append(line.isEmpty() ? ".PP" : escaped(line)).append('\n');
    }
    example(block);
  }

  /// The same of the whole command: what ends with a colon is the heading of a section.
  private void sections(String... lines) {
    List<String> words = new ArrayList<>();
    for (String line : lines) {
      Matcher heading = HEADING.matcher(line);
      if (!heading.matches()) {
        words.add(line);
        continue;
      }
      footer(words);
      words.clear();
      section(heading.group(1).toUpperCase(Locale.ROOT));
      if (!heading.group(2).isEmpty()) {
        words.add(heading.group(2));
      }
    }
    footer(words);
  }

  private void example(List<String> block) {
    if (!block.isEmpty()) {
      page.append(".RS 4\n.nf\n").append(String.join("\n", block)).append("\n.fi\n.RE\n");
      block.clear();
    }
  }

  /// Text as it is: no request at the start of a line, no escape, dashes that can be copied.
  private static String escaped(String text) {
    String plain = text.replace("\\", "\\e").replace("-", "\\-");
    return plain.startsWith(".") || plain.startsWith("'") ? "\\&" + plain : plain;
  }
}
