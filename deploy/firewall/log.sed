# Reads nginx's error log and prints what is safe to keep. nginx ends its lines with the
# request line, ModSecurity quotes what matched, and a link is a credential. So if a line
# belongs to a connection, only the number of its rule is printed.
#
# ModSecurity names file, line and number of the rule that matched. Rule 949110 only adds
# the others up.
s/^([0-9]{4})\/([0-9]{2})\/([0-9]{2}) ([0-9:]{8}) \[[a-z]+\] [0-9]+#[0-9]+: \*([0-9]+) (\[client [0-9a-f.:]+\] )?ModSecurity: .*/&\n{"time":"\1-\2-\3T\4+00:00","event":"rule","connection":\5,"rule":/
T plain
s/^.*\[file "\/usr\/share\/modsecurity-crs\/rules\/[A-Z0-9.-]+\.conf"\] \[line "[0-9]+"\] \[id "([0-9]{6})"\].*\n(.*)$/\2\1}/
/^\{.*:949110\}$|^[^{]/!p
d

# nginx's own lines: no connection, no request.
:plain
/^[0-9\/]{10} [0-9:]{8} \[(warn|error|crit|alert|emerg)\] [0-9]+#[0-9]+: [^*]/!d
s/[\\"]/\\&/g
s/^([0-9]{4})\/([0-9]{2})\/([0-9]{2}) ([0-9:]{8}) \[([a-z]+)\] [0-9#]+: (.*)/{"time":"\1-\2-\3T\4+00:00","event":"nginx","level":"\5","message":"\6"}/p
