/**
 * How many `?` a statement has outside of texts, quoted names and comments. TypeError for `?1`, `:name`, `@name`, `$name`:
 * libsql keeps what was bound before when a call brings too few values, so their number is checked at every call.
 */
export function countPlaceholders(sql: string): number {
  let count = 0;
  // Texts, "names", [names], `names`, -- comments, /* comments */ are passed over; what is left is looked at.
  for (const match of sql.matchAll(
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|\?\d*|[:@$][A-Za-z_]\w*/g,
  )) {
    const token = match[0];
    if (token === "?") count += 1;
    else if (/^[?:@$]/.test(token)) throw new TypeError("only ? stands for a parameter");
  }
  return count;
}
