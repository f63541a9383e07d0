"""BusinessesService over gRPC: convert, one call, convert."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.businesses.v1 import businesses_service_pb2 as pb
from svoykrug.businesses.v1.businesses_service_pb2_grpc import BusinessesServiceServicer

from svoykrug_server.businesses import convert
from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.rpc.context import current, current_caller

Context = ServicerContext[Any, Any]


class BusinessesServicer(BusinessesServiceServicer):
    """Serves `svoykrug.businesses.v1.BusinessesService`.

    Args:
        businesses: The use cases of businesses.
        archive: Puts them away and takes them back.
        staff: The use cases of their people.
    """

    def __init__(self, businesses: BusinessesService, archive: BusinessArchive, staff: StaffService) -> None:
        self._businesses = businesses
        self._archive = archive
        self._staff = staff

    async def CreateBusiness(self, request: pb.CreateBusinessRequest, context: Context) -> pb.CreateBusinessResponse:
        """Creates a business."""
        new = convert.new_business_from_proto(request)
        business = await self._businesses.create_business(current(), UUID(request.request_id), new)
        return pb.CreateBusinessResponse(business=convert.business_to_proto(business))

    async def GetBusiness(self, request: pb.GetBusinessRequest, context: Context) -> pb.GetBusinessResponse:
        """Returns a business."""
        business = await self._businesses.get_business(current_caller(), UUID(request.business_id))
        return pb.GetBusinessResponse(business=convert.business_to_proto(business))

    async def ListBusinesses(self, request: pb.ListBusinessesRequest, context: Context) -> pb.ListBusinessesResponse:
        """Lists businesses by name."""
        page = await self._businesses.list_businesses(
            current_caller(),
            size=request.page_size,
            token=request.page_token,
            category=convert.category_from_proto(request.category),
        )
        return convert.page_to_proto(page)

    async def UpdateBusiness(self, request: pb.UpdateBusinessRequest, context: Context) -> pb.UpdateBusinessResponse:
        """Changes a business."""
        business_id = convert.updated_business_id(request)
        change = convert.business_change_from_proto(request)
        business = await self._businesses.update_business(current(), business_id, change, request.business.etag)
        return pb.UpdateBusinessResponse(business=convert.business_to_proto(business))

    async def ArchiveBusiness(self, request: pb.ArchiveBusinessRequest, context: Context) -> pb.ArchiveBusinessResponse:
        """Archives a business."""
        business = await self._archive.archive(current(), UUID(request.business_id), request.etag)
        return pb.ArchiveBusinessResponse(business=convert.business_to_proto(business))

    async def UnarchiveBusiness(
        self, request: pb.UnarchiveBusinessRequest, context: Context
    ) -> pb.UnarchiveBusinessResponse:
        """Takes a business out of the archive."""
        business = await self._archive.unarchive(current(), UUID(request.business_id), request.etag)
        return pb.UnarchiveBusinessResponse(business=convert.business_to_proto(business))

    async def AddStaff(self, request: pb.AddStaffRequest, context: Context) -> pb.AddStaffResponse:
        """Gives a user a role at a business, or changes it."""
        role = convert.staff_role_from_proto(request.role)
        member = await self._staff.add_staff(current(), UUID(request.business_id), UUID(request.user_id), role)
        return pb.AddStaffResponse(staff_member=convert.staff_member_to_proto(member))

    async def RemoveStaff(self, request: pb.RemoveStaffRequest, context: Context) -> pb.RemoveStaffResponse:
        """Takes a user's role at a business away."""
        await self._staff.remove_staff(current(), UUID(request.business_id), UUID(request.user_id))
        return pb.RemoveStaffResponse()

    async def ListStaff(self, request: pb.ListStaffRequest, context: Context) -> pb.ListStaffResponse:
        """Lists the people who work at a business."""
        staff = await self._staff.list_staff(current_caller(), UUID(request.business_id))
        return pb.ListStaffResponse(staff=[convert.staff_member_to_proto(member) for member in staff])
