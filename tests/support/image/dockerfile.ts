/** One instruction of a Dockerfile, with its `--option=value`s apart from its words. */
export interface Instruction {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
  /** What stands after the options. */
  readonly text: string;
}

/** One stage: what follows a `FROM`. */
export interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile, as far as ours use the format (docs.docker.com/reference/dockerfile). RangeError for one without `FROM`. */
export function parseDockerfile(source: string): Stage[] {
  const lines = source
    .split("\n")
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join("\n")
    .replace(/\\\n/g, " ")
    .split("\n");
  const stages: { base: string; name: string | undefined; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const instruction = parseInstruction(line);
    if (instruction.name === "FROM") {
      const [base = "", , name] = instruction.text.split(/\s+/);
      stages.push({ base, name, instructions: [] });
    } else {
      const stage = stages.at(-1);
      if (stage === undefined) throw new RangeError(`${instruction.name} before FROM`);
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

function parseInstruction(line: string): Instruction {
  const [, name = "", rest = ""] = /^\s*(\w+)\s+(.*)$/.exec(line) ?? [];
  const options: Record<string, string> = {};
  const text = rest.replace(/^(--[\w-]+=\S+\s+)+/, (given) => {
    for (const [, key = "", value = ""] of given.matchAll(/--([\w-]+)=(\S+)/g)) options[key] = value;
    return "";
  });
  return { name: name.toUpperCase(), options, text: text.trim() };
}

/** Words of an instruction in its JSON form, such as `["/bin/x", "serve"]`. */
export function execForm(text: string): string[] {
  const words: unknown = JSON.parse(text);
  if (!Array.isArray(words)) throw new RangeError(`not the JSON form: ${text}`);
  return words.map(String);
}
