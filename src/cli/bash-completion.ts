/**
 * The completion script for bash. The library's own declares read-only variables, which a shell that
 * sources it twice complains of, and needs the package bash-completion.
 */
export const bashCompletion = `# bash completion for coracle

__coracle_complete() {
    local cur prev words cword IFS=$'\\n'
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n "=:" cur prev words cword
    else
        words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}
    fi

    # One candidate a line, a tab before its description; the last line is ":" and a directive.
    local line candidates=()
    while IFS= read -r line; do
        case $line in
            :*) ;;
            *) candidates+=("\${line%%$'\\t'*}") ;;
        esac
    done < <(coracle complete -- "\${words[@]:1:cword}" 2>/dev/null)
    COMPREPLY=($(compgen -W "\${candidates[*]}" -- "$cur"))
}

# File names where the program knows nothing better: @FILE, --config FILE.
complete -o default -F __coracle_complete coracle
`;
