/** Steps are imported as text, so that they are inside compiled programs. */
declare module "*.sql" {
  const sql: string;
  export default sql;
}
