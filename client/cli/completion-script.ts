import type { Command, Help } from 'commander';

/** Shells that there is a completion script for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One of {@link SHELLS}. */
export type Shell = (typeof SHELLS)[number];

/** A word that may stand somewhere, and what it is for. */
interface Word {
  readonly text: string;
  readonly about: string;
}

/** A place in the tree of commands: what may follow there. */
interface Place {
  /** Names of the commands on the way, parted by blanks; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly Word[];
  readonly options: readonly Word[];
  /** What an argument may be, where that is a choice. */
  readonly choices: readonly string[];
  /** What follows an option that takes one of several values. */
  readonly valuesOf: ReadonlyMap<string, readonly string[]>;
}

/**
 * A script that completes commands, options and their fixed values, and files elsewhere. It is made from the commands themselves, so
 * it says what this version takes. It holds all words: a completion that started this program would take the time of its start
 * at each press of the key.
 */
export function completionScript(shell: Shell, program: Command): string {
  const places = placesOf(program, '');
  const takers = [...new Set(valueTakers(program))];
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](places, takers);
}

function placesOf(command: Command, path: string): Place[] {
  const help: Help = command.createHelp();
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
  const commands = help.visibleCommands(command).filter((child) => child.name() !== 'help');
  const here: Place = {
    path,
    commands: commands.map((child) => ({ text: child.name(), about: child.summary() })),
    options: options.map((option) => ({ text: option.long ?? option.short ?? '', about: option.description })),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    valuesOf: new Map(
      options.flatMap(({ long, argChoices }) => (long == null || argChoices === undefined ? [] : [[long, argChoices]])),
    ),
  };
  return [here, ...commands.flatMap((child) => placesOf(child, `${path} ${child.name()}`.trim()))];
}

/** Options that are followed by a value, which is no command. */
function valueTakers(command: Command): string[] {
  const own = command.options.filter(({ required }) => required).map(({ long }) => long ?? '');
  return [...own, ...command.commands.flatMap(valueTakers)];
}

/** In single quotes, for all three shells. fish takes `\'` within them, so the quote is left and entered again. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** `case` arms that give each place its words. */
function caseArms(places: readonly Place[], wordsOf: (place: Place) => string): string {
  return places.map((place) => `    ${quote(place.path)}) ${wordsOf(place)} ;;`).join('\n');
}

function commandPaths(places: readonly Place[]): string {
  return places.flatMap(({ path, commands }) => commands.map(({ text }) => quote(`${path} ${text}`))).join(' | ');
}

function plainWords({ commands, options, choices }: Place): string {
  return [...commands.map(({ text }) => text), ...choices, ...options.map(({ text }) => text)].join(' ');
}

function valueArms(places: readonly Place[], arm: (values: string) => string): string[] {
  return places.flatMap(({ path, valuesOf }) =>
    [...valuesOf].map(([option, values]) => `    ${quote(`${path} ${option}`)}) ${arm(values.join(' '))} ;;`),
  );
}

function bashScript(places: readonly Place[], takers: readonly string[]): string {
  return `# Completes remuda in bash: source <(remuda completion bash)
_remuda() {
  local word words path='' previous='' current="\${COMP_WORDS[COMP_CWORD]}" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    case "$previous" in
    ${takers.join(' | ')}) previous='' ; continue ;;
    esac
    previous="$word"
    case "$path $word" in
    ${commandPaths(places)}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path $previous" in
${valueArms(places, (values) => `COMPREPLY=($(compgen -W ${quote(values)} -- "$current")); return`).join('\n')}
  esac
  case "$previous" in
    ${takers.join(' | ')}) COMPREPLY=(); return ;;
  esac
  case "$path" in
${caseArms(places, (place) => `words=${quote(plainWords(place))}`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _remuda remuda
`;
}

function zshScript(places: readonly Place[], takers: readonly string[]): string {
  const described = (words: readonly Word[]) =>
    words.map(({ text, about }) => quote(`${text}:${about.replaceAll(':', '\\:')}`)).join(' ');
  const arm = ({ commands, options, choices }: Place) =>
    `names=(${described(commands)} ${choices.map(quote).join(' ')}); flags=(${described(options)})`;
  return `#compdef remuda
# Completes remuda in zsh: source <(remuda completion zsh), after compinit
_remuda() {
  local word previous='' route='' at
  local -a names flags
  for ((at = 2; at < CURRENT; at++)); do
    word="\${words[at]}"
    case "$previous" in
    ${takers.join(' | ')}) previous='' ; continue ;;
    esac
    previous="$word"
    case "$route $word" in
    ${commandPaths(places)}) route="\${route:+$route }$word" ;;
    esac
  done
  case "$route $previous" in
${valueArms(places, (values) => `compadd -- ${values}; return`).join('\n')}
  esac
  case "$previous" in
    ${takers.join(' | ')}) _files; return ;;
  esac
  case "$route" in
${caseArms(places, arm)}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o 'option' flags
  elif (( \${#names} )); then
    _describe 'command' names
  else
    _files
  fi
}
# From a folder of $fpath the first press of the key comes here; sourced, nothing is to be completed yet.
if [[ "\${funcstack[1]}" == _remuda ]]; then _remuda "$@"; else compdef _remuda remuda; fi
`;
}

function fishScript(places: readonly Place[], takers: readonly string[]): string {
  const lines = places.flatMap(({ path, commands, options, choices, valuesOf }) => {
    const here = `-n ${quote(`__remuda_at ${path === '' ? "''" : `"${path}"`}`)}`;
    return [
      ...commands.map(({ text, about }) => `complete -c remuda ${here} -f -a ${text} -d ${quote(about)}`),
      ...choices.map((text) => `complete -c remuda ${here} -f -a ${text}`),
      ...options.map(({ text, about }) => {
        const values = valuesOf.get(text);
        const takes = values === undefined ? (takers.includes(text) ? ' -r' : '') : ` -x -a ${quote(values.join(' '))}`;
        return `complete -c remuda ${here} -l ${text.replace(/^--/, '')}${takes} -d ${quote(about)}`;
      }),
    ];
  });
  return `# Completes remuda in fish: remuda completion fish > ~/.config/fish/completions/remuda.fish
function __remuda_at
    set -l path ''
    set -l previous ''
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if contains -- $previous ${takers.join(' ')}
            set previous ''
            continue
        end
        set previous $word
        if contains -- "$path $word" ${places.flatMap(({ path, commands }) => commands.map(({ text }) => quote(`${path} ${text}`))).join(' ')}
            set path (string trim -- "$path $word")
        end
    end
    test "$path" = "$argv[1]"
end
${lines.join('\n')}
`;
}
