/** Steps are imported as text, so that they are inside compiled programs. */
declare module "*.sql" {
  const sql: string;
  // biome-ignore lint/style/noDefaultExport: a text import has nothing else
  export default sql;
}
