const types: Readonly<Record<string, string>> = {
  json: "application/json",
  jsonl: "application/jsonl",
  ndjson: "application/x-ndjson",
  xml: "application/xml",
  csv: "text/csv",
  tsv: "text/tab-separated-values",
  txt: "text/plain",
  edi: "application/edifact",
  pdf: "application/pdf",
  zip: "application/zip",
  gz: "application/gzip",
  png: "image/png",
  jpg: "image/jpeg",
};
const lengthMax = 200;

/** Type by extension, and the file's name as parameter (RFC 2045 §5.1, RFC 8187 where it is not plain); a name too long is left out. */
export function contentTypeOf(name: string): string {
  const type = types[/\.([A-Za-z0-9]+)$/.exec(name)?.[1]?.toLowerCase() ?? ""] ?? "application/octet-stream";
  const plain = /^[A-Za-z0-9 !#$&+^_`{}~.,@()=-]+$/.test(name);
  const whole = `${type}; ${plain ? `name="${name}"` : `name*=UTF-8''${percentEncoded(name)}`}`;
  return whole.length > lengthMax ? type : whole;
}

function percentEncoded(text: string): string {
  // Names need not be well-formed Unicode.
  return encodeURIComponent(text.toWellFormed()).replace(
    /['()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16)}`,
  );
}
