/** A name with `*` (any characters) and `?` (one) as a test. Names that begin with a dot match only a pattern that does. */
export function namePattern(pattern: string): (name: string) => boolean {
  const parts = pattern.replace(/\*+/g, "*").split("*");
  const whole = (name: string) => matches(name, parts);
  return (name) => (name.startsWith(".") ? pattern.startsWith(".") && whole(name) : whole(name));
}

/** In time linear in both: each part is looked for once, at the first place it fits. A regular expression could backtrack. */
function matches(name: string, parts: readonly string[]): boolean {
  const [first = "", ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return name.length === first.length && fitsAt(name, 0, first);
  if (name.length < first.length + last.length || !fitsAt(name, 0, first)) return false;
  const end = name.length - last.length;
  if (!fitsAt(name, end, last)) return false;
  let place = first.length;
  for (const part of rest) {
    while (place + part.length <= end && !fitsAt(name, place, part)) place += 1;
    place += part.length;
    if (place > end) return false;
  }
  return true;
}

function fitsAt(name: string, place: number, part: string): boolean {
  for (let index = 0; index < part.length; index++)
    if (part[index] !== "?" && part[index] !== name[place + index]) return false;
  return true;
}
