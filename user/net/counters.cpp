// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/counters.h"

#include <fstream>
#include <sstream>

namespace anycast {

namespace {

std::string text_of(const char *path)
{
	std::ostringstream text;
	text << std::ifstream(path).rdbuf();
	return text.str();
}

} // namespace

NetCounters parse_snmp(std::string_view text)
{
	NetCounters counters;
	std::istringstream lines{std::string(text)};
	for (std::string names, values;
	     std::getline(lines, names) && std::getline(lines, values);) {
		std::istringstream name(names), value(values);
		std::string group, same, word;
		std::int64_t number = 0;
		if (!(name >> group) || !(value >> same) || group != same)
			continue;
		group.back() = '.'; // "Icmp:"
		while (name >> word && value >> number)
			counters[group + word] = static_cast<std::uint64_t>(number);
	}
	return counters;
}

NetCounters parse_snmp6(std::string_view text)
{
	NetCounters counters;
	std::istringstream lines{std::string(text)};
	std::uint64_t value = 0;
	for (std::string name; lines >> name >> value;)
		if (const std::size_t six = name.find('6'); six != name.npos)
			counters[name.substr(0, six + 1) + "." + name.substr(six + 1)] = value;
	return counters;
}

NetCounters net_counters()
{
	NetCounters counters = parse_snmp(text_of("/proc/thread-self/net/snmp"));
	counters.merge(parse_snmp6(text_of("/proc/thread-self/net/snmp6")));
	return counters;
}

} // namespace anycast
