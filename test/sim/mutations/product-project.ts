import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { faultsOf, mutate, StaleMutation, type Mutation } from './mutation.js';

/** The product's own project, as the compiler sees it. */
export class ProductProject {
  readonly options: ts.CompilerOptions;
  readonly #files: readonly string[];

  /** @param root The top of the repository */
  constructor(private readonly root: string) {
    const { config, error } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
    if (error !== undefined) throw new Error(`tsconfig.json: ${faultsOf([error])}`);
    const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    this.options = options;
    this.#files = fileNames;
  }

  /** The text of a source file. */
  read(file: string): string {
    return readFileSync(join(this.root, file), 'utf8');
  }

  /**
   * Checks the types of every file as its mutation would have it: a slip of the pen would otherwise be "caught" as soon as it is
   * run, and prove nothing.
   *
   * @throws {StaleMutation} for the first that is wrong
   */
  checkTypes(mutations: readonly Mutation[]): void {
    const texts = new Map<string, { text: string; version: number }>();
    const service = ts.createLanguageService({
      getCompilationSettings: () => ({ ...this.options, noEmit: true, composite: false }),
      getCurrentDirectory: () => this.root,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      getScriptFileNames: () => [...this.#files],
      getScriptVersion: (path) => String(texts.get(path)?.version ?? 0),
      getScriptSnapshot: (path) => {
        const text = texts.get(path)?.text ?? ts.sys.readFile(path);
        return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
      },
      fileExists: ts.sys.fileExists,
      readFile: ts.sys.readFile,
      readDirectory: ts.sys.readDirectory,
      directoryExists: ts.sys.directoryExists,
      getDirectories: ts.sys.getDirectories,
    });
    for (const [index, mutation] of mutations.entries()) {
      const path = join(this.root, mutation.file);
      const source = this.read(mutation.file);
      texts.set(path, { text: mutate(mutation, source), version: 2 * index + 1 });
      const found = [...service.getSyntacticDiagnostics(path), ...service.getSemanticDiagnostics(path)];
      texts.set(path, { text: source, version: 2 * index + 2 });
      if (found.length === 0) continue;
      throw new StaleMutation(`mutation ${mutation.name} of ${mutation.file} does not compile: ${faultsOf(found)}`);
    }
    service.dispose();
  }
}
