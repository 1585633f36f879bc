/**
 * The statements of a migration file, without their `;`. Texts, quoted names and comments may hold a `;`, and the body of a
 * trigger (from `BEGIN` to `END;`) does.
 */
export function splitStatements(sql: string): string[] {
  const statements: string[] = [];
  let start = 0;
  let inTrigger = false;
  let openCases = 0;
  for (const match of sql.matchAll(tokens)) {
    const token = match[0].toUpperCase();
    if (token.startsWith("CREATE")) inTrigger = true;
    else if (token === "CASE") openCases += 1;
    else if (token === "END" && openCases > 0) openCases -= 1;
    else if (token === "END") inTrigger = false;
    else if (token === ";" && !inTrigger) {
      statements.push(sql.slice(start, match.index));
      start = match.index + 1;
    }
  }
  statements.push(sql.slice(start));
  return statements.map((statement) => statement.trim()).filter((statement) => bare(statement) !== "");
}

const tokens =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|\/\*[\s\S]*?\*\/|;|\bCASE\b|\bEND\b|\bCREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b/gi;

/** What is left of a statement without comments. */
function bare(statement: string): string {
  return statement.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, "").trim();
}
