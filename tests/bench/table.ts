import type { Figure } from "./figure.ts";

const columns = ["", "what", "value", "unit", "yardstick", "ratio", "target"] as const;

/** The figures as a table for people. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    figure.ok === null ? "–" : figure.ok ? "✓" : "✗",
    figure.name,
    figure.value === null ? "not measured" : short(figure.value),
    figure.unit,
    figure.yardstick === null ? "" : short(figure.yardstick),
    figure.ratio === null ? "" : `${figure.ratio.toFixed(2)} ×`,
    figure.target,
  ]);
  const widths = columns.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column >= 2 && column <= 5 && column !== 3
          ? cell.padStart(widths[column] ?? 0)
          : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [line(columns), line(widths.map((width) => "─".repeat(width))), ...rows.map(line)].join("\n");
}

function short(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en-US").replaceAll(",", " ");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
