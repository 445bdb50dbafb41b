/**
 * Comments, strings, quoted names and dollar-quoted bodies: what stands in them is no statement of the file. SQL lexical
 * structure: PostgreSQL 15, chapter 4.1. Block comments nest in SQL; here one level is enough, as a nested one leaves
 * words that look like statements only if they are.
 */
const opaque =
  /--[^\n]*|\/\*[\s\S]*?\*\/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$/g;

const control = /^(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b/i;

/**
 * The first statement that would end or split the transaction around a migration. A COMMIT in the middle of a file would
 * keep half of it when the rest fails.
 */
export function findTransactionControl(sql: string): string | undefined {
  const statements = sql.replace(opaque, " ").split(";");
  for (const statement of statements) {
    const found = control.exec(statement.trim());
    if (found) return found[0].toUpperCase();
  }
  return undefined;
}
