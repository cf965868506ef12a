// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/ethtool.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>

#include "net/interfaces.h"
#include "util/fd.h"

namespace anycast {

namespace {

// 0 or errno.
int call(const std::string &interface, void *command)
{
	Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	ifreq request{};

	if (!socket.valid())
		return errno;
	if (interface.size() >= sizeof(request.ifr_name))
		return ENODEV;
	std::memcpy(request.ifr_name, interface.data(), interface.size());
	request.ifr_data = static_cast<char *>(command);
	return ::ioctl(socket.get(), SIOCETHTOOL, &request) ? errno : 0;
}

// A command structure that ends in an array of elements.
template <typename Head> struct Variable {
	Variable(std::size_t elements, std::size_t size)
		: memory((sizeof(Head) + elements * size + 7) / 8)
	{
	}
	Head *operator->() { return reinterpret_cast<Head *>(memory.data()); }

	std::vector<std::uint64_t> memory;
};

} // namespace

std::string ethtool::driver(const std::string &interface)
{
	ethtool_drvinfo info{};

	info.cmd = ETHTOOL_GDRVINFO;
	return call(interface, &info) == 0 ? info.driver : "";
}

std::optional<std::uint16_t> ethtool::received_power(const std::string &interface)
{
	constexpr std::uint32_t kDiagnosticsType = 92, kPower = 256 + 104; // SFF-8472, page A2h
	ethtool_modinfo info{};
	info.cmd = ETHTOOL_GMODULEINFO;
	if (call(interface, &info) != 0 || info.type != ETH_MODULE_SFF_8472)
		return std::nullopt;
	const auto read = [&](std::uint32_t offset) -> std::optional<std::uint16_t> {
		Variable<ethtool_eeprom> eeprom(2, 1);
		eeprom->cmd = ETHTOOL_GMODULEEEPROM;
		eeprom->offset = offset;
		eeprom->len = 2;
		if (call(interface, eeprom.memory.data()) != 0)
			return std::nullopt;
		return static_cast<std::uint16_t>(eeprom->data[0] << 8 | eeprom->data[1]);
	};
	const auto type = read(kDiagnosticsType);
	// Bit 6: diagnostics; bit 5: calibrated by the module itself.
	if (!type || (*type >> 8 & 0x60) != 0x60)
		return std::nullopt;
	return read(kPower);
}

Result<bool> device_feature(const std::string &interface, const std::string &feature)
{
	const std::string what = fmt::format("read the features of {}", interface);
	Variable<ethtool_sset_info> count(1, sizeof(std::uint32_t));

	count->cmd = ETHTOOL_GSSET_INFO;
	count->sset_mask = 1ULL << ETH_SS_FEATURES;
	if (int error = call(interface, count.memory.data()))
		return fail_errno(what, error);
	const std::uint32_t features = count->sset_mask ? count->data[0] : 0;

	Variable<ethtool_gstrings> names(features, ETH_GSTRING_LEN);
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = features;
	if (int error = call(interface, names.memory.data()))
		return fail_errno(what, error);

	const std::uint32_t blocks = (features + 31) / 32;
	Variable<ethtool_gfeatures> values(blocks, sizeof(ethtool_get_features_block));
	values->cmd = ETHTOOL_GFEATURES;
	values->size = blocks;
	if (int error = call(interface, values.memory.data()))
		return fail_errno(what, error);

	for (std::uint32_t i = 0; i < names->len && i < features; ++i) {
		const char *text =
			reinterpret_cast<const char *>(names->data) + i * ETH_GSTRING_LEN;
		if (feature == std::string_view(text, ::strnlen(text, ETH_GSTRING_LEN)))
			return (values->features[i / 32].active >> (i % 32) & 1) != 0;
	}
	return fail(Exit::kUnsupported,
		    fmt::format("{}: the kernel knows no device feature '{}'", what, feature));
}

} // namespace anycast
