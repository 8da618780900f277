# Rows "round gateway test value..." into a table of medians: -v gateways="a b" -v tests="x y".

function median(list, parts, n, i, j, t) {
    n = split(list, parts, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && parts[j - 1] + 0 > parts[j] + 0; j--) {
            t = parts[j]; parts[j] = parts[j - 1]; parts[j - 1] = t
        }
    return n == 0 ? "" : n % 2 ? parts[(n + 1) / 2] : (parts[n / 2] + parts[n / 2 + 1]) / 2
}

function cell(format, one, other) { return sprintf(format, median(one), median(other)) }

{
    first[$2, $3] = first[$2, $3] " " $4
    second[$2, $3] = second[$2, $3] " " $5
    if ($3 != "ping") { memory[$2] = memory[$2] > $6 + 0 ? memory[$2] : $6 + 0; cpu[$1, $2, $3] = $5 }
    if ($1 > rounds) rounds = $1
}

END {
    columns = split(gateways, gateway, " ")
    rows = split(tests, test, " ")
    printf "%-22s", "CPU-s/GiB (Gbit/s)"
    for (c = 1; c <= columns; c++) printf " %15s", gateway[c]
    printf " %8s\n", "of wg-go"
    for (r = 1; r <= rows; r++) {
        if (test[r] == "ping") continue
        printf "%-22s", test[r]
        for (c = 1; c <= columns; c++)
            printf " %15s", cell("%.2f (%.2f)", second[gateway[c], test[r]], first[gateway[c], test[r]])
        ratios = ""
        for (i = 1; i <= rounds; i++)
            if (cpu[i, "wireguard-go", test[r]] > 0 && cpu[i, "doorward", test[r]] > 0)
                ratios = ratios " " cpu[i, "doorward", test[r]] / cpu[i, "wireguard-go", test[r]]
        printf " %8s\n", ratios == "" ? "" : sprintf("%.2f x", median(ratios))
    }
    if (index(" " tests " ", " ping ")) {
        printf "%-22s", "ping, us: p50 (p99)"
        for (c = 1; c <= columns; c++)
            printf " %15s", cell("%.0f (%.0f)", first[gateway[c], "ping"], second[gateway[c], "ping"])
        printf "\n"
    }
    printf "%-22s", "resident, at most, MiB"
    for (c = 1; c <= columns; c++) printf " %15d", memory[gateway[c]]
    printf "\n"
}
